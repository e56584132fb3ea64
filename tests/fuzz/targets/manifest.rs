//! Manifests: what passes is within every bound, and is stored and read back as the same. Must never let a limit above
//! the operator's ceiling through.

#![no_main]

use libfuzzer_sys::fuzz_target;
use spawnpoint::model::limits::Limits;
use spawnpoint::model::manifest::{Manifest, VARIABLE_BYTES, VARIABLES};

fuzz_target!(|bytes: &[u8]| {
    let Ok(manifest) = serde_json::from_slice::<Manifest>(bytes) else { return };
    if manifest.check().is_err() {
        return;
    }
    let variables = &manifest.variables;
    assert!(variables.len() <= VARIABLES);
    assert!(variables.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() <= VARIABLE_BYTES);
    let text = serde_json::to_vec(&manifest).expect("it is written");
    assert_eq!(serde_json::from_slice::<Manifest>(&text).expect("it is read"), manifest);
    let (defaults, ceiling) = (Limits::default(), Limits::default_ceiling());
    let clamped = manifest.limits.clamp(&defaults, &ceiling);
    for limits in manifest.limits.resolve(&defaults, &ceiling).into_iter().chain([clamped]) {
        assert!(limits.cpu_ms < limits.wall_ms && limits.wall_ms <= ceiling.wall_ms);
        assert!(
            limits.memory_bytes <= ceiling.memory_bytes && limits.table_elements <= ceiling.table_elements
        );
        assert!(limits.concurrent_requests <= ceiling.concurrent_requests);
    }
});
