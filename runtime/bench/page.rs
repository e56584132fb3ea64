//! A run as one page: tables, curves, phases side by side. Everything is in the file, so that it can be mailed.
//! Must never load anything from anywhere, nor let what a server or a user said become markup.

mod escape;
mod plot;
mod scale;

use std::fmt::Write as _;

pub use escape::escaped;
pub use plot::{Bar, Curve, bars, curves};
pub use scale::Scale;

use super::report::{ColdReport, CrowdReport, Failures, LoadReport, Report, StartReport};
use super::times::{Point, Quantiles};

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1f2430;--soft:#667085;--line:#d0d5dd;--back:#fff;--c0:#2563eb;--c1:#d97706;\
--c2:#059669;--c3:#7c3aed;--c4:#be123c}\
@media(prefers-color-scheme:dark){:root{--ink:#e6e8ee;--soft:#98a2b3;--line:#344054;--back:#14171f;--c0:#60a5fa;\
--c1:#fbbf24;--c2:#34d399;--c3:#a78bfa;--c4:#fb7185}}\
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--back);max-width:62rem;margin:2rem auto;\
padding:0 1rem}h1{font-size:1.5rem}h2{font-size:1.2rem;margin-top:2.5rem}h3{font-size:1rem;margin-bottom:.3rem}\
code{overflow-wrap:anywhere}table{border-collapse:collapse;font-variant-numeric:tabular-nums;margin:.5rem 0}\
th,td{text-align:right;padding:.15rem .8rem .15rem 0;border-bottom:1px solid var(--line)}\
th:first-child,td:first-child{text-align:left}th{color:var(--soft);font-weight:500}.note{border-left:3px solid \
var(--c1);padding-left:.8rem}.soft{color:var(--soft)}svg{width:100%;height:auto;display:block}svg text{font:11px \
system-ui,sans-serif;fill:var(--soft)}.grid{stroke:var(--line);stroke-width:1}.s0{stroke:var(--c0)}.s1{stroke:var(--c1)}\
.s2{stroke:var(--c2)}.s3{stroke:var(--c3)}.s4{stroke:var(--c4)}.f0{fill:var(--c0)}.f1{fill:var(--c1)}.f2{fill:var(--c2)}\
.f3{fill:var(--c3)}.f4{fill:var(--c4)}.curve{fill:none;stroke-width:2}.range{stroke-width:3;opacity:.45}\
.key{display:inline-block;width:.8rem;height:.8rem;margin:0 .3rem 0 1rem;border-radius:2px}.key:first-child{margin-left:0}\
.k0{background:var(--c0)}.k1{background:var(--c1)}.k2{background:var(--c2)}.k3{background:var(--c3)}.k4{background:\
var(--c4)}";

/// The whole page.
#[must_use]
pub fn page(report: &Report) -> String {
    let mut out = String::new();
    let url = escaped(&report.url);
    let client = escaped(&report.client);
    // Writing into a string cannot fail, here and below.
    let _ = write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{url}: measured</title><style>{STYLE}</style></head><body>\n\
         <h1>Measured: <code>{url}</code></h1>\n<p class=\"soft\">By {client}. Times in microseconds.</p>\n"
    );
    if report.interrupted {
        out.push_str("<p class=\"note\">Ended early: these are the figures until then.</p>\n");
    }
    for note in &report.notes {
        let _ = writeln!(out, "<p class=\"note\">{}</p>", escaped(note));
    }
    if let Some(load) = &report.load {
        out.push_str("<h2>Load</h2>\n");
        loads(&mut out, &[("load", load)]);
        starts(&mut out, &load.starts);
    }
    if let Some(cold) = &report.cold {
        single(&mut out, cold);
    }
    if let Some(crowd) = &report.functions {
        many(&mut out, crowd);
    }
    out.push_str("</body></html>\n");
    out
}

fn loads(out: &mut String, loads: &[(&str, &LoadReport)]) {
    let head = ["", "answers/s", "sent", "failed", "not sent", "p50", "p90", "p99", "p99.9", "max"];
    let rows = loads.iter().map(|(name, load)| {
        let counts = [load.sent, load.failed, load.unsent].map(|count| count.to_string());
        let mut row = vec![(*name).to_owned(), format!("{:.1}", load.answered_per_second)];
        row.extend(counts);
        row.extend(figures(&load.latency));
        row
    });
    table(out, &head, rows);
    for (_, load) in loads {
        failures(out, &load.failures);
    }
    distributions(out, &loads.iter().map(|(name, load)| (*name, &load.curve[..])).collect::<Vec<_>>());
}

fn single(out: &mut String, cold: &ColdReport) {
    out.push_str(
        "<h2>Cold, spawned, warm</h2>\n<p class=\"soft\">By what the server said each start was.</p>\n",
    );
    failures(out, &cold.failures);
    starts(out, &cold.starts);
    distributions(out, &cold.starts.iter().map(|start| (start.start, &start.curve[..])).collect::<Vec<_>>());
}

fn many(out: &mut String, crowd: &CrowdReport) {
    let _ = write!(
        out,
        "<h2>{} functions</h2>\n<p>Made of {} different modules, called by Zipf({}): {:.3} of the rate of one.</p>\n",
        crowd.functions, crowd.distinct_modules, crowd.zipf, crowd.relative_rate
    );
    loads(out, &[("one function", &crowd.one), ("all functions", &crowd.all)]);
    starts(out, &crowd.all.starts);
}

/// Each phase with its starts side by side: as a picture, and as figures.
fn starts(out: &mut String, starts: &[StartReport]) {
    if starts.is_empty() {
        return;
    }
    let mut names: Vec<&str> = Vec::new();
    // A phase that only some starts have keeps its place: the longest list is in order.
    let longest = starts.iter().max_by_key(|start| start.phases.len());
    for phase in longest.into_iter().chain(starts).flat_map(|start| &start.phases) {
        if !names.contains(&phase.phase) {
            names.push(phase.phase);
        }
    }
    let (mut all, mut rows) = (Vec::new(), Vec::new());
    for name in names {
        let mut group = Vec::new();
        for (series, start) in starts.iter().enumerate() {
            let Some(phase) = start.phases.iter().find(|phase| phase.phase == name) else { continue };
            group.push(Bar { series, took: phase.took });
            let mut row = vec![format!("{name} ({})", phase.clock), start.start.to_owned()];
            row.push(phase.took.count.to_string());
            row.extend(figures(&phase.took));
            rows.push(row);
        }
        all.push((name, group));
    }
    out.push_str("<h3>Phases: p50, p90, p99, p99.9</h3>\n");
    key(out, &starts.iter().map(|start| start.start).collect::<Vec<_>>());
    out.push_str(&bars(&all));
    table(out, &["phase", "start", "n", "p50", "p90", "p99", "p99.9", "max"], rows);
}

/// Curves of quantiles, and the shares below each time.
fn distributions(out: &mut String, series: &[(&str, &[Point])]) {
    let points: Vec<&Point> =
        series.iter().flat_map(|(_, points)| *points).filter(|point| point.us > 0.0).collect();
    let (Some(least), Some(most)) = (
        points.iter().map(|point| point.us).min_by(f64::total_cmp),
        points.iter().map(|point| point.us).max_by(f64::total_cmp),
    ) else {
        return;
    };
    let deepest = points.iter().map(|point| point.share).fold(0.0, f64::max);
    let time = Scale::log(least, most);
    out.push_str("<h3>Latency by percentile</h3>\n");
    key(out, &series.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    let of = |pair: fn(&Point) -> (f64, f64)| -> Vec<Curve> {
        let curve = |(_, points): &(&str, &[Point])| Curve(points.iter().map(pair).collect());
        series.iter().map(curve).collect()
    };
    out.push_str(&curves((&Scale::nines(deepest), &time), &of(|point| (point.share, point.us))));
    out.push_str("<h3>Share answered within</h3>\n");
    out.push_str(&curves((&time, &Scale::share()), &of(|point| (point.us, point.share))));
}

fn failures(out: &mut String, failures: &Failures) {
    if failures.failures.is_empty() {
        return;
    }
    let rows = failures.failures.iter().map(|failure| {
        let status = failure.status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
        vec![status, failure.code.clone(), failure.count.to_string()]
    });
    table(out, &["status", "code", "calls"], rows);
    if let Some(first) = &failures.first_failure {
        let _ = writeln!(out, "<p class=\"soft\">The first failure: {}</p>", escaped(first));
    }
}

fn figures(took: &Quantiles) -> [String; 5] {
    if took.count == 0 {
        return ["-"; 5].map(str::to_owned);
    }
    [took.p50_us, took.p90_us, took.p99_us, took.p99_9_us, took.max_us].map(|us| format!("{us:.1}"))
}

fn key(out: &mut String, names: &[&str]) {
    out.push_str("<p>");
    for (series, name) in names.iter().enumerate() {
        let _ = write!(out, "<span class=\"key k{}\"></span>{}", series % plot::SERIES, escaped(name));
    }
    out.push_str("</p>\n");
}

fn table(out: &mut String, head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
    out.push_str("<table><thead><tr>");
    for cell in head {
        let _ = write!(out, "<th>{}</th>", escaped(cell));
    }
    out.push_str("</tr></thead><tbody>\n");
    for row in rows {
        out.push_str("<tr>");
        for cell in row {
            let _ = write!(out, "<td>{}</td>", escaped(&cell));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table>\n");
}
