//! What the command takes. Must never decide anything that the table does not show.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Parser;

use crate::open_loop::Priority;

/// Measures what one tenant's misbehaviour does to the latency of another's function, on one server.
#[derive(Clone, Debug, Parser)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag that somebody types")]
#[command(name = "noisy_neighbour", bin_name = "cargo bench --bench noisy_neighbour --")]
pub(crate) struct Options {
    /// Seconds of each phase: undisturbed, abuse, recovery [default: 2, with --quick 0.6]
    #[arg(long, value_name = "N")]
    seconds: Option<f64>,
    /// Only these abuses.
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    pub(crate) only: Vec<String>,
    /// Connections of each abuse, each with one request on its way.
    #[arg(long, default_value_t = 16, value_name = "N")]
    pub(crate) connections: usize,
    /// Rounds; each does every abuse once, on a server of its own [default: 3, with --quick 1]
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// The victim's rate, as a share of the highest at which it is undisturbed on this machine.
    #[arg(long, default_value_t = 0.5, value_name = "X")]
    pub(crate) share: f64,
    /// The victim's rate, in requests a second, instead.
    #[arg(long, value_name = "N")]
    pub(crate) rate: Option<f64>,
    /// Priority of the victim's client, where the system allows it: lower is more [default: real time]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    nice: Option<i32>,
    /// Priority of the abuser's clients: clients elsewhere would not take the server's cores [default: idle]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    abuser_nice: Option<i32>,
    /// Writes everything that was measured.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Short, to see that everything works: its figures mean nothing.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Another build of the server, to be compared with this one.
    #[arg(long, value_name = "FILE", default_value = env!("CARGO_BIN_EXE_spawnpoint"), hide_default_value = true)]
    pub(crate) spawnpoint: PathBuf,
    /// Leaves the abuser's circuit breaker on, which refuses most of what fails each time; also for servers that have none.
    #[arg(long)]
    pub(crate) breaker_on: bool,
    /// Ends well though a bar was broken: for machines that are not calm.
    #[arg(long)]
    pub(crate) report: bool,
    /// Lists the abuses and ends.
    #[arg(long)]
    pub(crate) list: bool,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    /// How often everything is done.
    pub(crate) fn rounds(&self) -> Result<usize> {
        let rounds = self.rounds.unwrap_or(if self.quick { 1 } else { 3 });
        ensure!((1..=99).contains(&rounds), "`--rounds` is {rounds}: 1 to 99");
        Ok(rounds)
    }

    /// What the victim's client asks for.
    pub(crate) fn priority(&self) -> Priority {
        self.nice.map_or(Priority::RealTime, Priority::Nice)
    }

    /// What the abuser's clients ask for.
    pub(crate) fn abuser(&self) -> Priority {
        self.abuser_nice.map_or(Priority::Idle, Priority::Nice)
    }

    /// How long each phase takes.
    pub(crate) fn phase(&self) -> Result<Duration> {
        let seconds = self.seconds.unwrap_or(if self.quick { 0.6 } else { 2.0 });
        ensure!((0.5..=120.0).contains(&seconds), "`--seconds` is {seconds}: 0.5 to 120");
        ensure!((1..=200).contains(&self.connections), "`--connections` is {}: 1 to 200", self.connections);
        ensure!((0.01..=1.0).contains(&self.share), "`--share` is {}: 0.01 to 1", self.share);
        let rate = self.rate.unwrap_or(100.0);
        ensure!((10.0..=100_000.0).contains(&rate), "`--rate` is {rate}: 10 to 100000");
        Ok(Duration::try_from_secs_f64(seconds)?)
    }
}
