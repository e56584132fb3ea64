//! Names: what is accepted is one DNS label and reads back as it was; what is refused is told without anything that
//! moves a cursor. Must never accept what means something in a path, a host or a file name.

#![no_main]

use libfuzzer_sys::fuzz_target;
use spawnpoint::model::name::{FunctionName, TenantName};

fuzz_target!(|text: &str| {
    assert_eq!(text.parse::<TenantName>().is_ok(), text.parse::<FunctionName>().is_ok());
    match text.parse::<TenantName>() {
        Ok(name) => {
            assert_eq!(name.as_str(), text);
            assert!((1..=63).contains(&text.len()) && !text.contains(['/', '.', '%', '\\', ':', '\0']));
        }
        Err(error) => {
            let said = error.to_string();
            assert!(said.len() < 2_000 && !said.contains(char::is_control), "{said:?}");
        }
    }
});
