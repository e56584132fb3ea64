//! What every report begins and ends with, and the table of single calls. Must never judge a figure.

use std::borrow::Cow;
use std::fmt::{Result, Write as _};

use serde::Serialize;

use super::machine::Machine;
use super::stats::Spread;

/// What one kind of call took, in microseconds.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Single {
    pub(crate) name: Cow<'static, str>,
    pub(crate) about: &'static str,
    pub(crate) us: Spread,
}

/// What it takes to judge what follows: how it was made, and on what.
pub(crate) fn begin(out: &mut String, quick: bool, machine: &Machine, made: &str) -> Result {
    if quick {
        writeln!(out, "**A quick run: it shows that everything works; its figures mean nothing.**\n")?;
    }
    writeln!(out, "{}", machine.facts())?;
    writeln!(out, "{made} {}", machine.pinning)
}

/// The table of single calls, if there are any.
pub(crate) fn singles(out: &mut String, title: &str, singles: &[Single]) -> Result {
    if singles.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n## {title}\n")?;
    writeln!(out, "| call | n | p50 us | p90 us | p99 us | max us | what |\n|---|---|---|---|---|---|---|")?;
    for Single { name, about, us } in singles {
        let (n, p50, p90, p99, max) = (us.count, us.p50, us.p90, us.p99, us.max);
        writeln!(out, "| {name} | {n} | {p50:.0} | {p90:.0} | {p99:.0} | {max:.0} | {about} |")?;
    }
    Ok(())
}

/// A list, if there is anything to list.
pub(crate) fn list(out: &mut String, title: &str, lines: &[String]) -> Result {
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n## {title}\n")?;
    lines.iter().try_for_each(|line| writeln!(out, "- {line}"))
}
