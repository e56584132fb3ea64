//! What is printed and written. Must never show a figure without what it takes to judge it.

use std::fmt::Write as _;

use serde::Serialize;

use crate::abuses::HONEST;
use crate::machine::Machine;
use crate::page;
use crate::siege::Row;
use crate::timeline::BAR;

/// Everything one run found out.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    /// The run's own description.
    pub(crate) made: String,
    pub(crate) quick: bool,
    pub(crate) rows: Vec<Row>,
    pub(crate) problems: Vec<String>,
}

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
        self.victim(out)?;
        self.evidence(out)?;
        self.verdict(out)?;
        page::list(out, "Problems", &self.problems)
    }

    fn victim(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "\n## The victim, in microseconds from when each request was due\n")?;
        writeln!(
            out,
            "What was due while the machine stood still, which a thread of real-time priority on each core told, is set aside; \
             errors are not.\n"
        )?;
        writeln!(
            out,
            "| beside | p50 | p99 | p99.9 | undisturbed p50 / p99 | ratio of p99 | errors | back after ms | bar |\n\
             |---|---|---|---|---|---|---|---|---|"
        )?;
        for row in &self.rows {
            let (victim, abuse, calm) = (&row.victim, &row.victim.abuse, &row.victim.undisturbed);
            let back = victim.back_ms.map_or("never seen".to_owned(), |ms| ms.to_string());
            let disturbed = if row.disturbed() { " (disturbed)" } else { "" };
            let met = match (row.is_abuse(), row.victim.meets_the_bar()) {
                (true, true) => "met",
                (true, false) => "BROKEN",
                (false, _) => "NO ABUSE",
            };
            writeln!(
                out,
                "| {} | {:.0} | {:.0} | {:.0} | {:.0} / {:.0} | {:.2} | {} | {back} | {met}{disturbed} |",
                row.name,
                abuse.p50,
                abuse.p99,
                abuse.p999,
                calm.p50,
                calm.p99,
                victim.ratio,
                victim.errors(),
            )?;
        }
        Ok(())
    }

    fn evidence(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "\n## The abuse\n")?;
        writeln!(
            out,
            "| abuse | what | how its calls ended | as that abuse ends, % | victim's longest, us | cores: server / loads / others (before) | victim's client late, p99 us (before) | \
             machine stood still, % (before) | p99 with that, us (before) | server's peak MiB |"
        )?;
        writeln!(out, "|---|---|---|---|---|---|---|---|---|---|")?;
        for row in &self.rows {
            let ends: Vec<String> =
                row.abuser.iter().map(|(what, count)| format!("{what}: {count}")).collect();
            writeln!(
                out,
                "| {} | {} | {} | {:.0} | {:.0} | {:.2} / {:.2} / {:.2} ({:.2}) | {:.0} ({:.0}) | {:.1} ({:.1}) | {:.0} ({:.0}) | {} |",
                row.name,
                row.about,
                ends.join(", "),
                row.took_place * 100.0,
                row.victim.abuse.max,
                row.server_cores,
                row.load_cores,
                row.other_cores,
                row.other_cores_before,
                row.victim.abuse.late_p99,
                row.victim.undisturbed.late_p99,
                row.paused[1] * 100.0,
                row.paused[0] * 100.0,
                row.with_pauses.abuse.p99,
                row.with_pauses.undisturbed.p99,
                row.peak_mib,
            )?;
        }
        Ok(())
    }

    /// Whether a bar was not met. What a quick run measures is no figure to judge.
    pub(crate) fn is_broken(&self) -> bool {
        !self.quick && self.rows.iter().any(|row| row.name != HONEST && !row.meets_the_bar())
    }

    fn verdict(&self, out: &mut String) -> std::fmt::Result {
        let abuses: Vec<&Row> = self.rows.iter().filter(|row| row.name != HONEST).collect();
        let met = abuses.iter().filter(|row| row.meets_the_bar()).count();
        let errors: usize = abuses.iter().map(|row| row.victim.errors()).sum();
        writeln!(out, "\n## Bar\n")?;
        writeln!(
            out,
            "No error of the victim and a p99 of at most {BAR:.1} times the undisturbed one, while the abuse took place: met under {met} of {} abuses, \
             {errors} errors in all. {} rows are disturbed: somebody else used the machine, and they prove nothing.",
            abuses.len(),
            self.rows.iter().filter(|row| row.disturbed()).count()
        )
    }
}
