//! A run as tables for people. Must never show less than what makes a figure doubtful.

use crate::bench::report::{CrowdReport, Failures, LoadReport, Report, StartReport};
use crate::bench::times::Quantiles;
use crate::cli::print;

pub(super) fn show(report: &Report) -> anyhow::Result<()> {
    print::line(&print::visible(&report.url))?;
    if report.interrupted {
        print::line("ended early: the figures are those until then")?;
    }
    if let Some(load) = &report.load {
        loads(&[("load", load)])?;
        starts(&load.starts)?;
    }
    if let Some(crowd) = &report.functions {
        many(crowd)?;
    }
    if let Some(cold) = &report.cold {
        for asked in &cold.asked {
            let said = asked.answered.iter().map(|(start, count)| format!("{count} {start}"));
            let said = said.collect::<Vec<_>>().join(", ");
            print::line(&format!(
                "{} dropped: {}",
                asked.dropped,
                if said.is_empty() { "no answer" } else { &said }
            ))?;
        }
        failures(&cold.failures)?;
        starts(&cold.starts)?;
    }
    for note in &report.notes {
        print::line(&format!("\nnote: {note}"))?;
    }
    Ok(())
}

fn many(crowd: &CrowdReport) -> anyhow::Result<()> {
    print::line(&format!(
        "{} functions of {} different modules, deployed in {:.1} s and removed again",
        crowd.functions, crowd.distinct_modules, crowd.deploy_seconds
    ))?;
    loads(&[("one function", &crowd.one), ("all functions", &crowd.all)])?;
    starts(&crowd.all.starts)?;
    print::line(&format!(
        "\ncalled by Zipf({}), all together are answered at {:.3} of the rate of one",
        crowd.zipf, crowd.relative_rate
    ))
}

fn loads(loads: &[(&str, &LoadReport)]) -> anyhow::Result<()> {
    print::line("")?;
    let rows = loads.iter().map(|(name, load)| {
        let asked = load.rate.map_or_else(|| "as fast as answered".to_owned(), |rate| format!("{rate}/s"));
        let counts =
            [load.sent, load.answered, load.failed, load.delayed, load.unsent].map(|count| count.to_string());
        let mut row = vec![(*name).to_owned(), asked, load.connections.to_string()];
        row.extend(counts);
        row.push(format!("{:.1}", load.answered_per_second));
        row
    });
    let head = ["", "DUE", "CONNECTIONS", "SENT", "2xx", "FAILED", "SENT LATE", "NOT SENT", "2xx/s"];
    print::table(&head, rows.collect())?;
    print::line("")?;
    let rows = loads.iter().map(|(name, load)| {
        let mut row = vec![format!("latency, {name}")];
        row.extend(figures(&load.latency));
        row
    });
    print::table(&["", "MIN", "P50", "P90", "P99", "P99.9", "MAX"], rows.collect())?;
    for (_, load) in loads {
        failures(&load.failures)?;
    }
    Ok(())
}

/// Phases below each other, starts beside each other.
fn starts(starts: &[StartReport]) -> anyhow::Result<()> {
    if starts.is_empty() {
        return Ok(());
    }
    let mut head = vec!["P50 / P90 / P99 / P99.9".to_owned()];
    head.extend(starts.iter().map(|start| format!("{} ({})", start.start.to_uppercase(), start.count)));
    let mut names: Vec<(&str, &str)> = Vec::new();
    // A phase that only some starts have keeps its place: the longest list is in order.
    let longest = starts.iter().max_by_key(|start| start.phases.len());
    for phase in longest.into_iter().chain(starts).flat_map(|start| &start.phases) {
        if !names.contains(&(phase.phase, phase.clock)) {
            names.push((phase.phase, phase.clock));
        }
    }
    let rows = names.into_iter().map(|(name, clock)| {
        let cell = |start: &StartReport| {
            let found = start.phases.iter().find(|phase| phase.phase == name);
            found.map_or_else(String::new, |phase| {
                let Quantiles { p50_us, p90_us, p99_us, p99_9_us, .. } = phase.took;
                [p50_us, p90_us, p99_us, p99_9_us].map(time).join(" / ")
            })
        };
        let mut row = vec![format!("{} ({clock})", name.replace('_', " "))];
        row.extend(starts.iter().map(cell));
        row
    });
    print::line("")?;
    print::table(&head.iter().map(String::as_str).collect::<Vec<_>>(), rows.collect())
}

fn failures(failures: &Failures) -> anyhow::Result<()> {
    if failures.failures.is_empty() {
        return Ok(());
    }
    let rows = failures.failures.iter().map(|failure| {
        let status = failure.status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
        vec![status, failure.code.clone(), failure.count.to_string()]
    });
    print::line("")?;
    print::table(&["STATUS", "CODE", "CALLS"], rows.collect())?;
    if let Some(first) = &failures.first_failure {
        print::line(&format!("the first failure: {}", print::visible(first)))?;
    }
    Ok(())
}

fn figures(took: &Quantiles) -> [String; 6] {
    if took.count == 0 {
        return ["-"; 6].map(str::to_owned);
    }
    [took.min_us, took.p50_us, took.p90_us, took.p99_us, took.p99_9_us, took.max_us].map(time)
}

/// Microseconds for people.
pub(in crate::cli) fn time(us: f64) -> String {
    if us < 1e3 {
        format!("{us:.1} us")
    } else if us < 1e6 {
        format!("{:.2} ms", us / 1e3)
    } else {
        format!("{:.2} s", us / 1e6)
    }
}
