//! `pause FUNCTION` and `resume FUNCTION`: whether a function answers. Must never touch what is deployed.

use std::process::ExitCode;

use clap::Args;
use http::Method;

use super::at::{At, Target};
use super::client::Call;
use super::print;
use crate::admin::wire::Function;

/// Which function.
#[derive(Clone, Debug, Args)]
pub struct PauseArgs {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    at: At,
}

/// What it is to be from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum To {
    /// Answering nobody.
    Paused,
    /// Answering as its activation says.
    Answering,
}

pub(super) async fn run(args: PauseArgs, to: To) -> anyhow::Result<ExitCode> {
    let (action, done) = match to {
        To::Paused => ("pause", "is paused"),
        To::Answering => ("resume", "answers"),
    };
    let call = Call::new(Method::POST, format!("{}/{action}", args.target.path()));
    let function: Function = args.at.client()?.call(call).await?;
    if args.at.json {
        print::json(&function)?;
    } else {
        print::line(&format!("{} {done}", args.target))?;
    }
    Ok(ExitCode::SUCCESS)
}
