//! The child's side: limits itself, reads an upload, writes one line of JSON.
//! Must never read anything before its limits are in force.

use std::io::{self, Write as _};
use std::process::ExitCode;

use super::lines;
use crate::engine::compile::{ChildLimits, read_upload};

/// The hidden subcommand that calls [`child_main`].
pub const SUBCOMMAND: &str = "__locate";

/// Reads an upload from stdin and writes the places of these instructions to stdout. The whole work of a child.
#[must_use]
pub fn child_main(limits: ChildLimits, offsets: &[u64]) -> ExitCode {
    match run(limits, offsets) {
        Ok(()) => ExitCode::SUCCESS,
        // The parent needs no more than that there is nothing.
        Err(_) => ExitCode::FAILURE,
    }
}

fn run(limits: ChildLimits, offsets: &[u64]) -> io::Result<()> {
    limits.enforce()?;
    let wasm = read_upload()?;
    let places = lines::find(&wasm, offsets);
    let mut out = io::stdout().lock();
    out.write_all(&serde_json::to_vec(&places)?)?;
    out.flush()
}
