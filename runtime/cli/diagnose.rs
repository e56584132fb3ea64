//! What to say about a file that cannot be deployed: what it is, and the commands that make what can be.
//! Must never refuse what a newer server may accept: only what is no WebAssembly at all is refused here.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use crate::engine::componentize::componentize;

/// Bytes that tell what kind of file it is.
const HEAD: u64 = 64 << 10;
/// What Rust builds components for.
const TARGET: &str = "wasm32-wasip2";

/// Opens a file that may be WebAssembly, and says how long it is.
pub(super) fn open(path: &Path) -> anyhow::Result<(File, u64)> {
    let shown = path.display();
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let not_built = path.components().any(|part| part.as_os_str() == TARGET);
            let advice = if not_built { format!(": {}", rust_advice()) } else { String::new() };
            bail!("there is no file `{shown}`{advice}");
        }
        Err(error) => return Err(error).context(format!("`{shown}` cannot be read")),
    };
    let metadata = file.metadata().context(format!("`{shown}` cannot be read"))?;
    if metadata.is_dir() {
        if path.join("Cargo.toml").exists() {
            bail!("`{shown}` is a directory with a Rust project: {}", rust_advice());
        }
        bail!("`{shown}` is a directory: what works is a .wasm file");
    }
    if !metadata.is_file() {
        bail!("`{shown}` is no regular file: its length must be known before it is sent");
    }
    let mut head = Vec::new();
    (&mut file).take(HEAD).read_to_end(&mut head).context(format!("`{shown}` cannot be read"))?;
    file.rewind().context(format!("`{shown}` cannot be read"))?;
    check(path, &head)?;
    Ok((file, metadata.len()))
}

/// Refuses what is no WebAssembly.
fn check(path: &Path, head: &[u8]) -> anyhow::Result<()> {
    if head.starts_with(b"\0asm") {
        return Ok(());
    }
    let Err(refused) = componentize(head) else { return Ok(()) };
    let shown = path.display();
    let is_source = path.extension().is_some_and(|extension| extension == "rs")
        || path.file_name().is_some_and(|name| name == "Cargo.toml");
    if is_source {
        bail!("`{shown}` is the source of a Rust program: {}", rust_advice());
    }
    // Whoever has a native program at hand may have built without the target because it is not there.
    let is_native = head.starts_with(b"\x7fELF") || head.starts_with(b"\xcf\xfa\xed\xfe");
    if is_native && target_is_missing() {
        bail!("`{shown}` cannot be deployed: {refused}; {}", add_target());
    }
    bail!("`{shown}` cannot be deployed: {refused}");
}

/// How to build a Rust project into something that can be deployed.
fn rust_advice() -> String {
    let build = format!(
        "build it with `cargo build --release --target {TARGET}` and deploy target/{TARGET}/release/NAME.wasm"
    );
    if target_is_missing() { format!("{}, then {build}", add_target()) } else { build }
}

fn add_target() -> String {
    format!("the Rust target is not installed: first run `rustup target add {TARGET}`")
}

/// Whether there is a Rust compiler here that lacks the target. Without a compiler, nothing is said about it.
fn target_is_missing() -> bool {
    let output = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", TARGET])
        // A question must not download a toolchain.
        .env("RUSTUP_AUTO_INSTALL", "0")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    output.is_ok_and(|output| {
        let folder = String::from_utf8_lossy(&output.stdout);
        output.status.success() && !Path::new(folder.trim()).exists()
    })
}
