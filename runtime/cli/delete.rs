//! `delete FUNCTION`: the function, its versions and its route. Must never ask: scripts have nobody to answer.

use std::process::ExitCode;

use clap::Args;
use http::Method;
use serde_json::{Value, json};

use super::at::{At, Target};
use super::client::Call;
use super::print;

/// Which function.
#[derive(Clone, Debug, Args)]
pub struct DeleteArgs {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    at: At,
}

pub(super) async fn run(args: DeleteArgs) -> anyhow::Result<ExitCode> {
    let _: Value = args.at.client()?.call(Call::new(Method::DELETE, args.target.path())).await?;
    if args.at.json {
        let Target { owner, function } = &args.target;
        print::json(&json!({ "tenant": owner.tenant, "function": function, "deleted": true }))?;
    } else {
        print::line(&format!("deleted {}", args.target))?;
    }
    Ok(ExitCode::SUCCESS)
}
