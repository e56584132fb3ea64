//! Uploads: any bytes become a component or a refusal whose text is short and moves no cursor. Must never compile one.

#![no_main]

use libfuzzer_sys::fuzz_target;
use spawnpoint::engine::componentize::componentize;

fuzz_target!(|bytes: &[u8]| {
    if let Err(refused) = componentize(bytes) {
        let said = refused.to_string();
        assert!(said.len() < 8_000 && !said.contains(char::is_control), "{said:?}");
    }
});
