//! Builds the samples and test guests from this source tree, installing the wasm target if it is missing.
//! Must never touch the host's own target directory's lock: guests have a workspace and a target directory of their own.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

/// What guests are compiled to.
const TARGET: &str = "wasm32-wasip2";

/// What a person types when it cannot be installed for them.
const BY_HAND: &str = "rustup target add wasm32-wasip2";

/// Which guests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The samples alone.
    Samples,
    /// The samples and every guest of the tests.
    All,
}

/// The source tree this program was built from.
#[must_use]
pub fn source_tree() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Builds guests and returns the folder they are in.
///
/// # Errors
/// A missing source tree, a target that cannot be installed (with the command to type), or a build that fails (with
/// what the compiler said).
pub fn build(which: Which) -> anyhow::Result<PathBuf> {
    let tree = source_tree();
    let manifest = tree.join("samples/Cargo.toml");
    if !manifest.is_file() {
        bail!("the samples are not here: `{}` is missing; run this from a clone", manifest.display());
    }
    ensure_target(tree)?;
    let target_dir = tree.join("target/guests");
    let mut cargo = Command::new("cargo");
    cargo
        .current_dir(tree)
        .args(["build", "--quiet", "--locked", "--release", "--target", TARGET, "--manifest-path"])
        .arg(&manifest)
        .arg("--target-dir")
        .arg(&target_dir);
    match which {
        Which::Samples => {
            for sample in ["hello", "hello-wasip2", "hello-p3", "echo", "json-api", "fail"] {
                cargo.args(["--package", sample]);
            }
        }
        Which::All => {
            cargo.args(["--workspace", "--lib", "--examples"]);
        }
    }
    // What cargo told this process about the host's build is not true of the guests'.
    for name in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "RUSTC_WRAPPER"] {
        cargo.env_remove(name);
    }
    let output = cargo.output().context("cargo cannot be started; is it on the PATH?")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("the guests do not build; if the target is missing: {BY_HAND}\n{said}");
    }
    Ok(target_dir.join(TARGET).join("release"))
}

/// Installs the wasm target unless it is there.
fn ensure_target(tree: &Path) -> anyhow::Result<()> {
    let asked = Command::new("rustc")
        .current_dir(tree)
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .context("rustc cannot be started; is it on the PATH?")?;
    let folder = PathBuf::from(String::from_utf8_lossy(&asked.stdout).trim());
    let has_std = std::fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_some());
    if asked.status.success() && has_std {
        return Ok(());
    }
    let installed = Command::new("rustup").current_dir(tree).args(["target", "add", TARGET]).output();
    match installed {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("the target {TARGET} is missing: {BY_HAND}\n{said}")
        }
        Err(_) => bail!("the target {TARGET} is missing, and there is no rustup to add it: {BY_HAND}"),
    }
}
