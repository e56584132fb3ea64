//! The hidden commands of the children that read uploads. Must never do anything before the child has limited itself.

use std::process::ExitCode;

use clap::Args;

use crate::engine::compile::{self, ChildLimits};
use crate::engine::locate;
use crate::model::version::Tier;

/// As [`ChildLimits::arguments_of`] writes them.
#[derive(Clone, Copy, Debug, Args)]
pub struct ChildArgs {
    /// Address space of the process
    #[arg(long)]
    memory_bytes: u64,
    /// CPU time of all its threads
    #[arg(long)]
    cpu_seconds: u64,
    /// How much it steps back behind others; the last one counts
    #[arg(long, overrides_with = "nice")]
    nice: i32,
    /// Run only when nobody else wants to
    #[arg(long)]
    idle: bool,
    /// The process that started it
    #[arg(long)]
    parent: u32,
}

/// How thoroughly.
#[derive(Clone, Debug, Args)]
pub struct CompileArgs {
    #[command(flatten)]
    limits: ChildArgs,
    /// Compile quickly, and not for speed
    #[arg(long)]
    fast: bool,
    /// Lower nothing: components stay components
    #[arg(long)]
    as_components: bool,
}

/// Which instructions.
#[derive(Clone, Debug, Args)]
pub struct LocateArgs {
    #[command(flatten)]
    limits: ChildArgs,
    /// Their places in the component's bytes
    #[arg(long, value_delimiter = ',')]
    at: Vec<u64>,
}

impl From<ChildArgs> for ChildLimits {
    fn from(args: ChildArgs) -> Self {
        let ChildArgs { memory_bytes, cpu_seconds, nice, idle, parent } = args;
        Self { memory_bytes, cpu_seconds, nice, idle, parent }
    }
}

pub(super) fn compile(args: &CompileArgs) -> ExitCode {
    let tier = if args.fast { Tier::Fast } else { Tier::Speed };
    compile::child_main(args.limits.into(), compile::Way { tier, lowers: !args.as_components })
}

pub(super) fn locate(args: &LocateArgs) -> ExitCode {
    locate::child_main(args.limits.into(), &args.at)
}
