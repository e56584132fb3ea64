//! What is printed and written. Must never show a figure without what it takes to judge it.

use std::fmt::Write as _;

use serde::Serialize;

use crate::aftermath::{AFTER, COLD};
use crate::machine::Machine;
use crate::page::{self, Single};
use crate::storm::{Round, Row};

/// Everything one run found out.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    /// The run's own description.
    pub(crate) made: String,
    pub(crate) quick: bool,
    pub(crate) rows: Vec<Row>,
    pub(crate) singles: Vec<Single>,
    pub(crate) problems: Vec<String>,
}

/// The bar: traps only, of the rate without any.
const BAR: f64 = 0.5;
/// Cores that others may use without the rates being called disturbed.
const OTHERS: f64 = 0.1;

impl Report {
    /// The whole report as Markdown.
    pub(crate) fn markdown(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        page::begin(out, self.quick, &self.machine, &self.made)?;
        self.storm(out)?;
        page::singles(out, "The next call", &self.singles)?;
        self.bars(out)?;
        page::list(out, "Problems", &self.problems)
    }

    fn row(&self, percent: Option<u32>) -> Option<&Row> {
        self.rows.iter().find(|row| row.percent == percent && !row.rounds.is_empty())
    }

    fn storm(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "\n## The storm\n")?;
        writeln!(
            out,
            "| traps | rps: median (rounds) | of no traps | p50 us | p99 us | server CPU us/request (of no traps) | load busy | cores of others | errors | neighbour p50 / p99 / p99.9 us | its p99 of no traps |"
        )?;
        writeln!(out, "|---|---|---|---|---|---|---|---|---|---|")?;
        let normal = self.row(Some(0));
        for row in &self.rows {
            let ratio = |of: fn(&Round) -> f64| {
                normal.map_or("-".to_owned(), |normal| format!("{:.2}", row.over(normal, of)))
            };
            let each: Vec<String> =
                row.rounds.iter().map(|round| format!("{:.0}", round.storm.rps())).collect();
            writeln!(
                out,
                "| {} | {:.0} ({}) | {} | {:.0} | {:.0} | {:.1} ({}) | {:.2} | {:.2} | {} | {:.0} / {:.0} / {:.0} | {} |",
                row.percent.map_or("no storm".to_owned(), |percent| format!("{percent} %")),
                row.median(|round| round.storm.rps()),
                each.join(" "),
                ratio(|round| round.storm.rps()),
                row.median(|round| round.storm.p50),
                row.median(|round| round.storm.p99),
                row.median(|round| round.storm.cpu_us()),
                ratio(|round| round.storm.cpu_us()),
                row.median(|round| round.storm.client_busy()),
                row.median(|round| round.other_cores),
                row.errors(),
                row.median(|round| round.neighbour.p50),
                row.median(|round| round.neighbour.p99),
                row.median(|round| round.neighbour.p999),
                ratio(|round| round.neighbour.p99),
            )?;
        }
        Ok(())
    }

    fn bars(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "\n## Bars\n\n| what | measured | bar | met |\n|---|---|---|---|")?;
        let disturbed = if self.is_disturbed() { ", DISTURBED: somebody else used the machine" } else { "" };
        let what = format!("100 % traps, of the rate without{disturbed}");
        line(out, &what, self.rate(), ("at least", BAR), self.is_rate_met())?;
        let next = "p50 of the call after a trap, of a cold one";
        line(out, next, self.next(), ("below", 1.0), self.is_next_met())
    }

    /// Whether a bar was measured and not met.
    pub(crate) fn is_broken(&self) -> bool {
        [self.is_rate_met(), self.is_next_met()].contains(&Some(false))
    }

    /// The rate of traps only, of that without any.
    fn rate(&self) -> Option<f64> {
        self.row(Some(100))
            .zip(self.row(Some(0)))
            .filter(|(all, none)| all.errors() + none.errors() == 0)
            .map(|(all, none)| all.over(none, |round| round.storm.rps()))
    }

    fn is_rate_met(&self) -> Option<bool> {
        self.rate().filter(|_| !self.quick && !self.is_disturbed()).map(|rate| rate >= BAR)
    }

    /// The call after a trap, of a cold one.
    fn next(&self) -> Option<f64> {
        let p50 = |name| self.singles.iter().find(|single| single.name == name).map(|single| single.us.p50);
        p50(AFTER).zip(p50(COLD)).map(|(after, cold)| after / cold.max(1e-9))
    }

    fn is_next_met(&self) -> Option<bool> {
        self.next().filter(|_| !self.quick).map(|next| next < 1.0)
    }

    fn is_disturbed(&self) -> bool {
        self.rows.iter().any(|row| row.median(|round| round.other_cores) > OTHERS)
    }
}

fn line(
    out: &mut String,
    what: &str,
    measured: Option<f64>,
    (word, bar): (&str, f64),
    met: Option<bool>,
) -> std::fmt::Result {
    let shown = measured.map_or("not measured".to_owned(), |value| format!("{value:.2}"));
    let met = met.map_or("", |met| if met { "yes" } else { "NO" });
    writeln!(out, "| {what} | {shown} | {word} {bar:.1} | {met} |")
}
