//! The bytes of guests: as they were built, from their text, and copies that differ.
//! Must never change what a guest does.

use std::path::Path;

use anyhow::Result;

use super::guests::path;

/// A guest of `tests/guests/examples`.
pub(crate) fn built(name: &str) -> Result<Vec<u8>> {
    Ok(std::fs::read(path(&format!("examples/{name}"))?)?)
}

/// A guest that is written as text, of `tests/guests/wat`.
pub(crate) fn wat(name: &str) -> Result<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests/wat");
    Ok(wat::parse_file(folder.join(format!("{name}.wat")))?)
}

/// The same component with other bytes: a custom section says which copy it is.
pub(crate) fn salted(wasm: &[u8], number: usize) -> Vec<u8> {
    const NAME: &[u8] = b"salt";
    let payload = format!("{number:016x}");
    let section = 1 + NAME.len() + payload.len();
    let mut salted = wasm.to_vec();
    // Section 0, its length, the length of its name: each below 128, so one byte of LEB128.
    salted.extend_from_slice(&[0, u8::try_from(section).unwrap_or(127), 4]);
    salted.extend_from_slice(NAME);
    salted.extend_from_slice(payload.as_bytes());
    salted
}
