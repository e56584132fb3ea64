//! `list`: a tenant's functions. Must never show a part of them as if it were all.

use std::process::ExitCode;

use clap::Args;

use super::at::{At, Owner};
use super::print;
use crate::admin::wire::{Activation, BreakerState, Function, Functions};

/// Whose functions.
#[derive(Clone, Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    owner: Owner,
    #[command(flatten)]
    at: At,
}

pub(super) async fn run(args: ListArgs) -> anyhow::Result<ExitCode> {
    let found: Functions = args.at.client()?.all(&args.owner.path(), "functions").await?;
    if args.at.json {
        print::json(&found)?;
    } else if found.functions.is_empty() {
        print::note(&format!(
            "tenant `{}` has no functions: publish one with `spawnpoint deploy FILE`",
            args.owner.tenant
        ));
    } else {
        let rows = found.functions.into_iter().map(|function| {
            let active = function.activation.as_ref().map_or_else(|| "none".to_owned(), shares);
            let state = state(&function).to_owned();
            vec![function.function, active, state, print::age(function.created_ms), function.url]
        });
        print::table(&["FUNCTION", "VERSION", "STATE", "AGE", "URL"], rows.collect())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether requests reach the function.
fn state(function: &Function) -> &'static str {
    match function.breaker.state {
        _ if function.paused => "paused",
        BreakerState::Closed => "ok",
        BreakerState::Probing => "probing",
        BreakerState::Open => "breaker open",
    }
}

/// The version that answers, or how several share the requests: `3 (90%), 4 (10%)`.
pub(super) fn shares(activation: &Activation) -> String {
    let sum: u64 = activation.weights.iter().map(|each| u64::from(each.weight)).sum();
    match activation.weights.as_slice() {
        [] => "none".to_owned(),
        [only] => only.version.to_string(),
        several => {
            let share = |weight| u64::from(weight) * 100 / sum.max(1);
            let each = several.iter().map(|each| format!("{} ({}%)", each.version, share(each.weight)));
            each.collect::<Vec<_>>().join(", ")
        }
    }
}
