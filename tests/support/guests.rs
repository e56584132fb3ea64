//! Guests: built once by the test run, from the same sources that users read.

use std::path::PathBuf;
use std::sync::OnceLock;

use spawnpoint::cli::guests::{Which, build};

fn folder() -> &'static PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| build(Which::All).unwrap_or_else(|error| panic!("{error:#}")))
}

fn read(path: PathBuf) -> Vec<u8> {
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The component of `tests/guests/examples/NAME.rs`, or of its package.
pub fn guest(name: &str) -> Vec<u8> {
    let example = folder().join("examples").join(format!("{name}.wasm"));
    read(if example.exists() { example } else { folder().join(format!("{name}.wasm")) })
}

/// The component of `samples/NAME`.
pub fn sample(name: &str) -> Vec<u8> {
    read(folder().join(format!("{}.wasm", name.replace('-', "_"))))
}

/// The text of `tests/guests/wat/NAME`.
pub fn wat_text(name: &str) -> String {
    let path = spawnpoint::cli::guests::source_tree().join("tests/guests/wat").join(name);
    String::from_utf8(read(path)).expect("text")
}

/// The binary of `tests/guests/wat/NAME.wat`.
pub fn wat(name: &str) -> Vec<u8> {
    let tree = spawnpoint::cli::guests::source_tree();
    let path = tree.join("tests/guests/wat").join(format!("{name}.wat"));
    wat::parse_file(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
