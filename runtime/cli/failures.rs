//! `failures [TENANT/]FUNCTION`: what went wrong lately, the newest of each code first.
//! Must never let one kind of failure hide another.

use std::process::ExitCode;

use clap::Args;

use super::at::{At, Owner};
use super::print;
use crate::admin::wire::{Failures, Invocation, Rejections};
use crate::model::name::{FunctionName, TenantName};
use crate::model::outcome::REJECTIONS;
use crate::records::CODES;

/// Which function's.
#[derive(Clone, Debug, Args)]
pub struct FailuresArgs {
    /// The function's name; `TENANT/FUNCTION` for another tenant's
    #[arg(value_name = "[TENANT/]FUNCTION", value_parser = whose)]
    target: Whose,
    /// Only this code, such as `guest_trap`; `ok` for the sample of good calls; of a rejection, such as `breaker_open`, the count
    #[arg(long, value_name = "CODE")]
    code: Option<String>,
    #[command(flatten)]
    owner: Owner,
    #[command(flatten)]
    at: At,
}

/// A function, and its tenant if that was said.
#[derive(Clone, Debug)]
struct Whose {
    tenant: Option<TenantName>,
    function: FunctionName,
}

fn whose(text: &str) -> Result<Whose, String> {
    let (tenant, function) = match text.split_once('/') {
        Some((tenant, function)) => (Some(tenant.parse()), function.parse()),
        None => (None, text.parse()),
    };
    let named = |error: crate::model::name::NameError| error.to_string();
    Ok(Whose { tenant: tenant.transpose().map_err(named)?, function: function.map_err(named)? })
}

pub(super) async fn run(args: FailuresArgs) -> anyhow::Result<ExitCode> {
    let owner = args.target.tenant.map_or(args.owner, |tenant| Owner { tenant });
    let mut path = format!("{}/{}/failures", owner.path(), args.target.function);
    if let Some(code) = &args.code {
        if !code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') {
            let why = format!("`{code}` is no code: a code is of `a-z` and `_`, as in x-spawnpoint-error");
            return Err(super::Usage(why).into());
        }
        path.push_str("?code=");
        path.push_str(code);
    }
    let found: Failures = args.at.client()?.all(&path, "failures").await?;
    if args.at.json {
        print::json(&found)?;
        return Ok(ExitCode::SUCCESS);
    }
    rejections(&found, args.code.as_deref());
    if found.failures.is_empty() {
        print::note(&format!(
            "nothing is recorded of {}/{} since {}",
            owner.tenant, args.target.function, found.since
        ));
        return Ok(ExitCode::SUCCESS);
    }
    let rows = found.failures.iter().map(row);
    print::table(
        &["CODE", "AGE", "REQUEST", "ATTEMPT", "VERSION", "CPU ms", "WALL ms", "MEMORY", "WHERE"],
        rows.collect(),
    )?;
    let counts = found.counts.iter().map(|(code, count)| format!("{code} {count}"));
    print::note(&format!("since {}: {}", found.since, counts.collect::<Vec<_>>().join(", ")));
    print::note("`spawnpoint explain REQUEST` tells all that is known of one");
    Ok(ExitCode::SUCCESS)
}

/// Tells what was rejected before a guest ran, and that there is no record of it.
fn rejections(found: &Failures, code: Option<&str>) {
    let each = |(code, of): (&String, &Rejections)| {
        format!("{code} {} (the last one {} ago)", of.count, print::age(of.last_ms))
    };
    let all: Vec<_> = found.rejected.iter().map(each).collect();
    let is_rejection = |code: &str| REJECTIONS.contains(&code) && !CODES.contains(&code);
    match (all.as_slice(), code.filter(|code| is_rejection(code))) {
        ([], None) => {}
        ([], Some(code)) => {
            print::note(&format!("rejections are counted, not recorded: {code} 0 since {}", found.since));
        }
        (all, _) => print::note(&format!(
            "rejected before any guest ran, which is counted and not recorded, since {}: {}",
            found.since,
            all.join(", ")
        )),
    }
}

fn row(each: &Invocation) -> Vec<String> {
    let place = each.backtrace.first().or((!each.detail.is_empty()).then_some(&each.detail));
    vec![
        each.code.clone(),
        print::age(each.at_ms),
        each.request_id.clone(),
        each.retried.as_ref().map_or_else(|| each.attempt.to_string(), |code| format!("1, then {code}")),
        each.version.to_string(),
        format!("{:.1}", each.cpu_ms),
        format!("{:.1}", each.wall_ms),
        print::size(each.peak_memory_bytes),
        // The whole of it is for `explain`.
        place.map_or_else(String::new, |place| place.chars().take(48).collect()),
    ]
}
