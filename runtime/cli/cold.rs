//! `cold FUNCTION`: the next call pays for what was kept ready. Must never touch what is deployed.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use http::Method;

use super::at::{At, Target};
use super::client::Call;
use super::print;
use crate::admin::wire::{Cold, ColdDrop, ColdRequest};

/// Which function, and how cold.
#[derive(Clone, Debug, Args)]
pub struct ColdArgs {
    #[command(flatten)]
    target: Target,
    /// What is dropped
    #[arg(long, value_enum, default_value_t = Drop::Program)]
    drop: Drop,
    #[command(flatten)]
    at: At,
}

/// What is dropped.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Drop {
    /// Ready instances: the next call spawns one
    Instances,
    /// The loaded program too: the next call loads it from disk
    Program,
}

pub(super) async fn run(args: ColdArgs) -> anyhow::Result<ExitCode> {
    let drop = match args.drop {
        Drop::Instances => ColdDrop::Instances,
        Drop::Program => ColdDrop::Program,
    };
    let path = format!("{}/cold", args.target.path());
    let call = Call::json(Method::POST, path, &ColdRequest { drop })?;
    let cold: Cold = args.at.client()?.call(call).await?;
    if args.at.json {
        print::json(&cold)?;
    } else {
        let Cold { loaded } = cold;
        print::line(&format!("{} is cold (programs that were loaded: {loaded})", args.target))?;
    }
    Ok(ExitCode::SUCCESS)
}
