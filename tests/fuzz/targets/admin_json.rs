//! The JSON that the admin API takes: read, written and read again it is the same. Must never be read in two ways.

#![no_main]

use libfuzzer_sys::fuzz_target;
use spawnpoint::admin::wire::{ActivationRequest, ColdRequest};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(read) = serde_json::from_slice::<ActivationRequest>(bytes) {
        let text = serde_json::to_vec(&read).expect("it is written");
        assert_eq!(serde_json::from_slice::<ActivationRequest>(&text).expect("it is read"), read);
    }
    if let Ok(read) = serde_json::from_slice::<ColdRequest>(bytes) {
        let text = serde_json::to_vec(&read).expect("it is written");
        assert_eq!(serde_json::from_slice::<ColdRequest>(&text).expect("it is read"), read);
    }
});
