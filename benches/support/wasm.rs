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

/// The same component with other bytes.
pub(crate) fn salted(wasm: &[u8], number: usize) -> Vec<u8> {
    spawnpoint::bench::salt::salted(wasm, number as u64)
}
