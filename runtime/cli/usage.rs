//! `usage`: what a tenant's calls used since the server started. Must never show a part of it as if it were all.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Args;

use super::at::{At, Owner};
use super::print;
use crate::admin::wire::Usage;

/// Whose.
#[derive(Clone, Debug, Args)]
pub struct UsageArgs {
    #[command(flatten)]
    owner: Owner,
    #[command(flatten)]
    at: At,
}

pub(super) async fn run(args: UsageArgs) -> anyhow::Result<ExitCode> {
    let path = format!("/v1/tenants/{}/usage", args.owner.tenant);
    let found: Usage = args.at.client()?.all(&path, "functions").await?;
    if args.at.json {
        print::json(&found)?;
        return Ok(ExitCode::SUCCESS);
    }
    let row = |name: &str, used: (u64, u64, u64), failures: &BTreeMap<String, u64>| {
        let (invocations, cpu_ms, wall_ms) = used;
        let by_code = failures.iter().map(|(code, count)| format!("{code} {count}"));
        vec![
            name.to_owned(),
            invocations.to_string(),
            cpu_ms.to_string(),
            wall_ms.to_string(),
            by_code.collect::<Vec<_>>().join(", "),
        ]
    };
    let mut rows: Vec<_> = found
        .functions
        .iter()
        .map(|each| row(&each.function, (each.invocations, each.cpu_ms, each.wall_ms), &each.failures))
        .collect();
    let sum = &found.sum;
    rows.push(row("(all)", (sum.invocations, sum.cpu_ms, sum.wall_ms), &sum.failures));
    print::table(&["FUNCTION", "CALLS", "CPU ms", "WALL ms", "FAILURES"], rows)?;
    print::note(&format!("since {}; functions that were deleted count in the sum alone", found.since));
    Ok(ExitCode::SUCCESS)
}
