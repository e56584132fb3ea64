//! The hidden command of the children that compile. Must never do anything before the child has limited itself.

use std::process::ExitCode;

use clap::Args;

use crate::engine::compile::{ChildLimits, child_main};

/// As [`ChildLimits::arguments`] writes them.
#[derive(Clone, Copy, Debug, Args)]
pub struct CompileArgs {
    /// Address space of the process
    #[arg(long)]
    memory_bytes: u64,
    /// CPU time of all its threads
    #[arg(long)]
    cpu_seconds: u64,
}

pub(super) fn run(args: &CompileArgs) -> ExitCode {
    child_main(ChildLimits { memory_bytes: args.memory_bytes, cpu_seconds: args.cpu_seconds })
}
