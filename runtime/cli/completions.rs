//! `completions SHELL`: the script a shell needs. Must never install it anywhere.

use std::process::ExitCode;

use clap::{Args, Command, CommandFactory as _};
use clap_complete::Shell;
use serde_json::json;

use super::{Cli, print};

/// Which shell.
#[derive(Clone, Debug, Args)]
pub struct CompletionsArgs {
    /// The shell; for bash: `source <(spawnpoint completions bash)`
    #[arg(value_enum)]
    shell: Shell,
    /// Print one JSON object: `{shell, script}`
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &CompletionsArgs) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut shown(), "spawnpoint", &mut script);
    if args.json {
        let script = String::from_utf8_lossy(&script);
        print::json(&json!({ "shell": args.shell.to_string(), "script": script }))?;
    } else {
        print::bytes(&script)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The command line without what is hidden, which the generators would offer too.
fn shown() -> Command {
    let whole = Cli::command();
    let shown = whole.get_subcommands().filter(|each| !each.is_hide_set()).cloned();
    Command::new("spawnpoint").version(env!("CARGO_PKG_VERSION")).subcommands(shown.collect::<Vec<_>>())
}
