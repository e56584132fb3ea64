//! The interleaved rounds: every server once a round, in an order that turns, and ratios within one round only.
//! Must never compare figures of two rounds with each other.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::load::Measured;
use crate::measure::{Shape, Target, measure};
use crate::stats::median;
use crate::subjects::{NATIVE, Server};

/// One server's rounds.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) about: String,
    pub(crate) rounds: Vec<Measured>,
    pub(crate) rss_idle_kib: u64,
    pub(crate) rss_peak_kib: u64,
}

/// All rounds of all servers. A server that fails a measurement is reported with it, and measured again next round.
pub(crate) fn run(servers: &[Server], rounds: usize, shape: &Shape, dir: &Path) -> Result<Vec<Row>> {
    let mut rows: Vec<Row> = servers
        .iter()
        .map(|server| Row {
            name: server.subject.name.to_owned(),
            about: server.subject.about.to_owned(),
            rss_idle_kib: server.idle.now_kib,
            ..Row::default()
        })
        .collect();
    for round in 0..rounds {
        for turn in 0..servers.len() {
            let index = (turn + round) % servers.len();
            let server = &servers[index];
            let measured = measure(server.target(), shape, dir)
                .with_context(|| format!("round {} of `{}`", round + 1, server.subject.name))?;
            tell!(
                "  round {}/{rounds} {:18} {:>9.0} rps{}",
                round + 1,
                server.subject.name,
                measured.rps(),
                measured.first_error.as_deref().map_or(String::new(), |error| format!("  ERRORS: {error}"))
            );
            rows[index].rounds.push(measured);
            rows[index].rss_peak_kib = server.child.memory().peak_kib;
        }
    }
    Ok(rows)
}

impl Server {
    fn target(&self) -> Target<'_> {
        Target {
            address: self.address,
            server: self.child.pid(),
            paths: std::slice::from_ref(&self.path),
            zipf: 0.0,
            expected: self.expected,
            mixed: None,
        }
    }
}

impl Row {
    pub(crate) fn median(&self, of: impl Fn(&Measured) -> f64) -> f64 {
        median(self.rounds.iter().map(of))
    }

    pub(crate) fn errors(&self) -> u64 {
        self.rounds.iter().map(|round| round.errors).sum()
    }

    /// The median of this server's rate over the other's in the same round.
    pub(crate) fn over(&self, other: &Self) -> f64 {
        let pairs = self.rounds.iter().zip(&other.rounds);
        median(pairs.map(|(mine, theirs)| mine.rps() / theirs.rps().max(1e-9)))
    }

    /// The median of this server's CPU time a request over the other's in the same round.
    pub(crate) fn cpu_over(&self, other: &Self) -> f64 {
        let pairs = self.rounds.iter().zip(&other.rounds);
        median(pairs.map(|(mine, theirs)| mine.cpu_us() / theirs.cpu_us().max(1e-9)))
    }

    /// The median of what this server's p50 adds to the other's in the same round, in microseconds.
    pub(crate) fn p50_over(&self, other: &Self) -> f64 {
        let pairs = self.rounds.iter().zip(&other.rounds);
        median(pairs.map(|(mine, theirs)| mine.p50 - theirs.p50))
    }
}

/// Few connections and many.
pub(crate) const FEW_AND_MANY: [usize; 2] = [10, 2_000];

/// One server with few connections and with many, in turn. The rows are named by their number.
pub(crate) fn few_and_many(server: &Server, rounds: usize, shape: &Shape, dir: &Path) -> Result<Vec<Row>> {
    let mut rows: Vec<Row> = FEW_AND_MANY
        .iter()
        .map(|connections| Row {
            name: connections.to_string(),
            about: server.subject.about.to_owned(),
            rss_idle_kib: server.idle.now_kib,
            ..Row::default()
        })
        .collect();
    for _ in 0..rounds {
        for (row, connections) in rows.iter_mut().zip(FEW_AND_MANY) {
            let shape = Shape { connections, ..shape.clone() };
            row.rounds.push(measure(server.target(), &shape, dir)?);
            row.rss_peak_kib = server.child.memory().peak_kib;
        }
    }
    Ok(rows)
}

/// The row of that name, if it was measured without an error.
pub(crate) fn clean<'a>(rows: &'a [Row], name: &str) -> Option<&'a Row> {
    rows.iter().find(|row| row.name == name && row.errors() == 0 && !row.rounds.is_empty())
}

/// The control.
pub(crate) fn native(rows: &[Row]) -> Option<&Row> {
    clean(rows, NATIVE)
}
