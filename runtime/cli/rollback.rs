//! `rollback FUNCTION`: an older version answers again. Must never guess between several that answer together.

use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use http::Method;

use super::at::{At, Target};
use super::client::{Call, Client};
use super::{Usage, print};
use crate::admin::wire::{ActivationRequest, Function, Version, Versions};
use crate::model::version::VersionNumber;

/// Which function, and how far.
#[derive(Clone, Debug, Args)]
pub struct RollbackArgs {
    #[command(flatten)]
    target: Target,
    /// The version that is to answer [default: the one published before the one that answers now]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    to: Option<u32>,
    #[command(flatten)]
    at: At,
}

pub(super) async fn run(args: RollbackArgs) -> anyhow::Result<ExitCode> {
    let client = args.at.client()?;
    let request = match args.to {
        Some(number) => {
            ActivationRequest { version: Some(VersionNumber(number)), weights: None, revision: None }
        }
        None => one_back(&client, &args.target).await?,
    };
    let path = format!("{}/activation", args.target.path());
    let function: Function = client.call(Call::json(Method::PUT, path, &request)?).await?;
    if args.at.json {
        print::json(&function)?;
    } else if let Some(version) = request.version {
        let when = if function.paused { " once it is resumed" } else { "" };
        print::line(&format!("version {version} of {} answers{when}", args.target))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What to ask for to go one back from what answers now, unless somebody changes that meanwhile.
async fn one_back(client: &Client, target: &Target) -> anyhow::Result<ActivationRequest> {
    // The activation first: a change after it has another revision, and is refused.
    let function: Function = client.get(&target.path()).await?;
    let found: Versions = client.all(&format!("{}/versions", target.path()), "versions").await?;
    let version = before_active(&found.versions)?;
    let revision = function.activation.map(|activation| activation.revision);
    Ok(ActivationRequest { version: Some(version), weights: None, revision })
}

/// The version that was published before the one that answers.
pub(super) fn before_active(versions: &[Version]) -> anyhow::Result<VersionNumber> {
    let active: Vec<_> = versions.iter().filter(|each| each.active).map(|each| each.version).collect();
    let [active] = active[..] else {
        let numbers: Vec<_> = active.iter().map(ToString::to_string).collect();
        let numbers = if numbers.is_empty() { "none".to_owned() } else { numbers.join(" and ") };
        return Err(
            Usage(format!("the version that answers is {numbers}: say with --to which one is to")).into()
        );
    };
    let older = versions.iter().map(|each| each.version).filter(|number| *number < active);
    let Some(older) = older.max() else {
        bail!("version {active} is the oldest that is kept: there is none to go back to");
    };
    Ok(older)
}
