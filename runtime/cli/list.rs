//! `list`: a tenant's functions. Must never show a part of them as if it were all.

use std::process::ExitCode;

use clap::Args;

use super::at::{At, Owner};
use super::print;
use crate::admin::wire::{Activation, Breaker, BreakerState, Function, Functions};

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
            let state = state(&function);
            vec![function.function, active, state, print::age(function.created_ms), function.url]
        });
        print::table(&["FUNCTION", "VERSION", "STATE", "AGE", "URL"], rows.collect())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether requests reach the function.
fn state(function: &Function) -> String {
    if function.paused { "paused".to_owned() } else { standing(&function.breaker, function.load_failed) }
}

/// How a version stands with its breaker, or that it is not there at all.
pub(super) fn standing(breaker: &Breaker, load_failed: bool) -> String {
    match breaker.state {
        _ if load_failed => "cannot be loaded: deploy it again".to_owned(),
        BreakerState::Closed => "ok".to_owned(),
        BreakerState::HalfOpen => "breaker half-open".to_owned(),
        BreakerState::Probing => "probing".to_owned(),
        BreakerState::Open => {
            let left = breaker.until_ms.map(|until_ms| format!(" for {}", print::left(until_ms)));
            format!("breaker open{}", left.unwrap_or_default())
        }
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
