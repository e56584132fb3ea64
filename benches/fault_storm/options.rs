//! What the command takes. Must never decide anything that the table does not show.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::{Parser, ValueEnum};

/// Measures what traps cost: the function that traps, its neighbour, and the call that comes next.
#[derive(Clone, Debug, Parser)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag that somebody types")]
#[command(name = "fault_storm", bin_name = "cargo bench --bench fault_storm --")]
pub(crate) struct Options {
    /// Rounds; each measures every share of traps once, in a different order [default: 5, with --quick 1]
    #[arg(long)]
    rounds: Option<usize>,
    /// Seconds of each measurement [default: 3, with --quick 0.5]
    #[arg(long, value_name = "N")]
    seconds: Option<f64>,
    /// Connections, each with one request on its way.
    #[arg(long, default_value_t = 32, value_name = "N")]
    pub(crate) connections: usize,
    /// The neighbour's rate, in requests a second.
    #[arg(long, default_value_t = 200.0, value_name = "N")]
    pub(crate) rate: f64,
    /// Single calls of each kind [default: 500, with --quick 50]
    #[arg(long, value_name = "N")]
    calls: Option<usize>,
    /// One: the server has a core and the load another. Two: both share two cores, two server threads.
    #[arg(long, value_enum, default_value_t = Cores::One)]
    pub(crate) cores: Cores,
    /// Writes everything that was measured.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Short, to see that everything works: its figures mean nothing.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Another build of the server, to be compared with this one.
    #[arg(long, value_name = "FILE", default_value = env!("CARGO_BIN_EXE_spawnpoint"), hide_default_value = true)]
    pub(crate) spawnpoint: PathBuf,
    /// Leaves the circuit breaker on, which refuses most of what traps each time; also for servers that have none.
    #[arg(long)]
    breaker_on: bool,
    /// Ends well though a bar was broken: for machines that are not calm.
    #[arg(long)]
    pub(crate) report: bool,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Who runs where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Cores {
    One,
    Two,
}

/// The options with their defaults, which differ with `--quick`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) rounds: usize,
    pub(crate) measured: Duration,
    pub(crate) calls: usize,
}

impl Options {
    /// Whether the manifest turns the circuit breaker off.
    pub(crate) fn breaker_off(&self) -> bool {
        !self.breaker_on
    }

    pub(crate) fn sizes(&self) -> Result<Sizes> {
        let pick = |asked: Option<usize>, full, quick| asked.unwrap_or(if self.quick { quick } else { full });
        let seconds = self.seconds.unwrap_or(if self.quick { 0.5 } else { 3.0 });
        let (rounds, calls) = (pick(self.rounds, 5, 1), pick(self.calls, 500, 50));
        ensure!((0.3..=60.0).contains(&seconds), "`--seconds` is {seconds}: 0.3 to 60");
        ensure!((1..=100).contains(&rounds), "`--rounds` is {rounds}: 1 to 100");
        ensure!((1..=100_000).contains(&calls), "`--calls` is {calls}: 1 to 100000");
        ensure!((2..=250).contains(&self.connections), "`--connections` is {}: 2 to 250", self.connections);
        ensure!((10.0..=10_000.0).contains(&self.rate), "`--rate` is {}: 10 to 10000", self.rate);
        Ok(Sizes { rounds, measured: Duration::try_from_secs_f64(seconds)?, calls })
    }
}
