//! Where the guests are; builds them when they are missing.
//! Must never build into the host's own target folder's profiles: guests have a folder of their own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Result, ensure};

/// The file of a guest: `hello`, or `examples/ok` for one of `tests/guests`.
pub(crate) fn path(guest: &str) -> Result<PathBuf> {
    let file = folder().join(format!("{guest}.wasm"));
    if !file.exists() {
        build()?;
    }
    ensure!(file.exists(), "`{guest}` is not among the guests that were built");
    Ok(file)
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Guests that another checkout built are not taken: they may be of other sources.
fn folder() -> PathBuf {
    root().join("target/guests/wasm32-wasip2/release")
}

fn build() -> Result<()> {
    static BUILT: OnceLock<bool> = OnceLock::new();
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["build", "--locked", "--release", "--workspace", "--lib", "--examples"])
        .args(["--target", "wasm32-wasip2"])
        .arg("--manifest-path")
        .arg(root().join("samples/Cargo.toml"))
        .arg("--target-dir")
        .arg(root().join("target/guests"))
        .stdout(Stdio::null());
    let run = || cargo.status().is_ok_and(|status| status.success());
    let built = *BUILT.get_or_init(run);
    ensure!(built, "the guests do not build: `rustup target add wasm32-wasip2` may be what is missing");
    Ok(())
}
