//! `versions FUNCTION`: what was published, and which of it answers. Must never show a part of it as if it were all.

use std::process::ExitCode;

use clap::Args;

use super::at::{At, Target};
use super::list::standing;
use super::print;
use crate::admin::wire::{Version, Versions};
use crate::model::version::{Handler, Tier};

/// Which function's.
#[derive(Clone, Debug, Args)]
pub struct VersionsArgs {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    at: At,
}

pub(super) async fn run(args: VersionsArgs) -> anyhow::Result<ExitCode> {
    let path = format!("{}/versions", args.target.path());
    let found: Versions = args.at.client()?.all(&path, "versions").await?;
    if args.at.json {
        print::json(&found)?;
    } else {
        let rows = found.versions.iter().map(row);
        print::table(
            &["VERSION", "ACTIVE", "STATE", "AGE", "SIZE", "HANDLER", "TIER", "DIGEST"],
            rows.collect(),
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

fn row(version: &Version) -> Vec<String> {
    let handler = match version.handler {
        Handler::Http02 => "wasi:http@0.2",
        Handler::Http03 => "wasi:http@0.3",
    };
    vec![
        version.version.to_string(),
        if version.active { "yes" } else { "no" }.to_owned(),
        // One that does not answer has no breaker, and nobody has tried to load it.
        version.breaker.map_or_else(|| "-".to_owned(), |breaker| standing(&breaker, version.load_failed)),
        print::age(version.created_ms),
        print::size(version.size_bytes),
        handler.to_owned(),
        version.tier.map_or("-", Tier::as_str).to_owned(),
        // Enough to tell them apart; --json has all of it.
        version.digest.chars().take("sha256:".len() + 12).collect(),
    ]
}
