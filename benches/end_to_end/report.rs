//! What is printed and written. Must never show a figure without what it takes to judge it.

use std::fmt::Write as _;

use serde::Serialize;

use crate::bars::{self, Bar};
use crate::functions::Crowd;
use crate::machine::Machine;
use crate::options::Cores;
use crate::page::{self, Single};
use crate::rounds::{Row, native};

/// Everything one run found out.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    #[serde(skip)]
    pub(crate) cores: Cores,
    /// The run's own description: rounds, seconds, connections.
    pub(crate) made: String,
    pub(crate) quick: bool,
    pub(crate) load: Vec<Row>,
    pub(crate) latency: Vec<Row>,
    /// `fresh` with few connections and with many.
    pub(crate) connections: Vec<Row>,
    pub(crate) singles: Vec<Single>,
    pub(crate) crowd: Option<Crowd>,
    pub(crate) bars: Vec<Bar>,
    /// Peers that are not here, and parts that failed.
    pub(crate) skipped: Vec<String>,
    pub(crate) problems: Vec<String>,
}

impl Report {
    /// Compares with the bars; to be called once everything is in.
    pub(crate) fn close(&mut self) {
        self.bars = bars::all(self);
        if self.quick {
            self.bars.iter_mut().for_each(|bar| bar.met = None);
        }
        for row in
            self.load.iter().chain(&self.latency).chain(&self.connections).filter(|row| row.errors() > 0)
        {
            let first = row.rounds.iter().find_map(|round| round.first_error.as_deref());
            let (name, errors) = (&row.name, row.errors());
            self.problems.push(format!("`{name}`: {errors} errors, first: {}", first.unwrap_or("unknown")));
        }
    }

    /// The whole report as Markdown.
    pub(crate) fn markdown(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let m = &self.machine;
        let made = format!("Peers: wasmtime: {}; workerd: {}.\n{}", m.wasmtime, m.workerd, self.made);
        page::begin(out, self.quick, m, &made)?;
        if !self.load.is_empty() {
            writeln!(out, "\n## Throughput\n")?;
            rounds(out, &self.load)?;
        }
        if !self.latency.is_empty() {
            writeln!(out, "\n## One connection\n")?;
            rounds(out, &self.latency)?;
        }
        if !self.connections.is_empty() {
            writeln!(out, "\n## Few connections and many, `fresh`\n")?;
            rounds(out, &self.connections)?;
        }
        page::singles(out, "Single calls", &self.singles)?;
        if let Some(crowd) = &self.crowd {
            write_crowd(out, crowd)?;
        }
        self.write_bars(out)?;
        page::list(out, "Left out", &self.skipped)?;
        page::list(out, "Problems", &self.problems)
    }

    fn write_bars(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "\n## Bars\n")?;
        writeln!(out, "| what | measured | bar | strive for | met |\n|---|---|---|---|---|")?;
        for bar in &self.bars {
            let measured = bar.measured.map_or("not measured".to_owned(), |value| number(value, bar.unit));
            let met = bar.met.map_or("", |met| if met { "yes" } else { "NO" });
            let (goal, strive) = (number(bar.goal, bar.unit), number(bar.strive, bar.unit));
            writeln!(out, "| {} | {measured} | {goal} | {strive} | {met} |", bar.what)?;
        }
        Ok(())
    }
}

fn number(value: f64, unit: &str) -> String {
    match unit {
        "x" => format!("{value:.3}"),
        "B" => format!("{value:.0} B"),
        _ => format!("{value:.2} {unit}"),
    }
}

/// One table of interleaved rounds.
fn rounds(out: &mut String, rows: &[Row]) -> std::fmt::Result {
    writeln!(
        out,
        "| server | rps: median (rounds) | of native | p50 us | added us | p99 us | CPU us/request | RSS idle / peak MiB | load busy | what |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|---|---|---|")?;
    for row in rows {
        let each: Vec<String> = row.rounds.iter().map(|round| format!("{:.0}", round.rps())).collect();
        let (ratio, added) = native(rows).map_or(("-".to_owned(), "-".to_owned()), |native| {
            (format!("{:.3}", row.over(native)), format!("{:+.1}", row.p50_over(native)))
        });
        let errors = if row.errors() > 0 { format!(" **{} ERRORS**", row.errors()) } else { String::new() };
        writeln!(
            out,
            "| {}{errors} | {:.0} ({}) | {ratio} | {:.0} | {added} | {:.0} | {:.1} | {} / {} | {:.2} | {} |",
            row.name,
            row.median(crate::load::Measured::rps),
            each.join(" "),
            row.median(|round| round.p50),
            row.median(|round| round.p99),
            row.median(crate::load::Measured::cpu_us),
            mib(row.rss_idle_kib),
            mib(row.rss_peak_kib),
            row.median(crate::load::Measured::client_busy),
            row.about,
        )?;
    }
    Ok(())
}

fn write_crowd(out: &mut String, crowd: &Crowd) -> std::fmt::Result {
    let ms = |us: f64| us / 1e3;
    writeln!(out, "\n## {} functions, {} distinct modules\n", crowd.functions, crowd.distinct)?;
    writeln!(out, "| what | p50 | worst |\n|---|---|---|")?;
    for (what, spread) in [
        ("process start to ready, no functions", &crowd.empty_ready_us),
        ("process start to ready", &crowd.ready_us),
        ("process start to first answer", &crowd.first_answer_us),
    ] {
        writeln!(out, "| {what} | {:.1} ms | {:.1} ms |", ms(spread.p50), ms(spread.max))?;
    }
    writeln!(out, "\nResident memory: {:.0} bytes for each registered function; ", crowd.idle_bytes)?;
    writeln!(
        out,
        "{:.1} KiB for each of {} that were called once.",
        crowd.loaded_bytes / 1024.0,
        crowd.loaded
    )?;
    writeln!(
        out,
        "Zipf {}: {:.3} of the rate of one function, {:.3} of its CPU time a request, {} errors.",
        crowd.zipf,
        crowd.rate(),
        crowd.cpu(),
        crowd.errors()
    )
}

fn mib(kib: u64) -> String {
    format!("{}.{}", kib / 1024, kib % 1024 * 10 / 1024)
}
