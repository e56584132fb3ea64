//! The pure words, checked against everything proptest can think of.

use proptest::prelude::*;

use super::limits::{Limits, Overrides};
use super::manifest::{Manifest, Reuse, VARIABLE_BYTES, VARIABLES};
use super::name::{TenantName, is_label};
use super::version::Digest;

#[test]
fn a_name_is_one_lower_case_dns_label() {
    for good in ["a", "0", "hello", "a-b", "x".repeat(63).as_str()] {
        assert!(good.parse::<TenantName>().is_ok(), "{good}");
    }
    for bad in ["", "-a", "a-", "A", "a.b", "a_b", "ä", "a b", "x".repeat(64).as_str(), "a\n"] {
        let error = bad.parse::<TenantName>().unwrap_err();
        assert!(error.to_string().contains("DNS label"), "{bad}");
    }
}

#[test]
fn a_wall_time_is_always_above_the_cpu_time() {
    let (defaults, ceiling) = (Limits::default(), Limits::default_ceiling());
    let asks = Overrides { cpu_ms: Some(40_000), ..Overrides::default() };
    let limits = asks.resolve(&defaults, &ceiling).unwrap();
    assert!(limits.wall_ms > limits.cpu_ms);
    let asks = Overrides { cpu_ms: Some(500), wall_ms: Some(500), ..Overrides::default() };
    let error = asks.resolve(&defaults, &ceiling).unwrap_err();
    assert_eq!((error.field, error.lowest), ("wall_ms", 501));
}

#[test]
fn a_manifest_with_an_unknown_key_is_refused() {
    let error = serde_json::from_str::<Manifest>(r#"{"limit":{}}"#).unwrap_err();
    assert!(error.to_string().contains("unknown field `limit`"), "{error}");
}

#[test]
fn reuse_for_no_request_at_all_is_refused() {
    let manifest = Manifest { reuse: Some(Reuse { max_requests: 0 }), ..Manifest::default() };
    assert!(manifest.check().unwrap_err().to_string().contains("reuse.max_requests"));
}

proptest! {
    #[test]
    fn every_accepted_name_is_safe_in_a_host_a_path_and_a_file_name(text in "\\PC{0,70}") {
        if is_label(&text) {
            prop_assert!(!text.contains(['/', '.', '%', '\\', ':', ' ']));
            prop_assert!((1..=63).contains(&text.len()));
        }
    }

    #[test]
    fn resolved_limits_never_exceed_the_ceiling(
        cpu in proptest::option::of(any::<u64>()),
        wall in proptest::option::of(any::<u64>()),
        memory in proptest::option::of(any::<u64>()),
        concurrent in proptest::option::of(any::<u32>()),
    ) {
        let asks = Overrides {
            cpu_ms: cpu, wall_ms: wall, memory_bytes: memory, concurrent_requests: concurrent,
            ..Overrides::default()
        };
        let ceiling = Limits::default_ceiling();
        if let Ok(limits) = asks.resolve(&Limits::default(), &ceiling) {
            prop_assert!(limits.cpu_ms < limits.wall_ms && limits.wall_ms <= ceiling.wall_ms);
            prop_assert!(limits.memory_bytes <= ceiling.memory_bytes);
            prop_assert!((1..=ceiling.concurrent_requests).contains(&limits.concurrent_requests));
        }
    }

    #[test]
    fn a_refused_name_is_told_without_anything_that_moves_a_cursor(text in any::<String>()) {
        match text.parse::<TenantName>() {
            Ok(name) => prop_assert_eq!(name.as_str(), text),
            Err(error) => {
                let said = error.to_string();
                prop_assert!(said.len() < 2_000 && !said.contains(char::is_control), "{said:?}");
            }
        }
    }

    #[test]
    fn a_manifest_that_passes_is_stored_and_read_back_as_the_same(
        variables in proptest::collection::btree_map(any::<String>(), any::<String>(), 0..70),
        max_requests in proptest::option::of(any::<u32>()),
        cpu in proptest::option::of(any::<u64>()),
    ) {
        let limits = Overrides { cpu_ms: cpu, ..Overrides::default() };
        let manifest = Manifest { limits, variables, reuse: max_requests.map(|max_requests| Reuse { max_requests }), breaker: None, retry: None, server_timing: max_requests.map(|n| n % 2 == 0) };
        if manifest.check().is_ok() {
            let bytes: usize = manifest.variables.iter().map(|(name, value)| name.len() + value.len()).sum();
            prop_assert!(manifest.variables.len() <= VARIABLES && bytes <= VARIABLE_BYTES);
            let text = serde_json::to_vec(&manifest).unwrap();
            prop_assert_eq!(serde_json::from_slice::<Manifest>(&text).unwrap(), manifest);
        }
    }

    #[test]
    fn a_digest_reads_back_as_it_was_written(bytes in any::<[u8; 32]>()) {
        let digest = Digest(bytes);
        prop_assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
    }
}
