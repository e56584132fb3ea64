//! What the command takes. Must never decide anything that the table does not show.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::{Parser, ValueEnum};

use crate::subjects::{self, NATIVE, ONE_THREAD, Subject};

/// Measures Spawnpoint against native hyper and whatever peers are on PATH, in interleaved rounds.
#[derive(Clone, Debug, Parser)]
#[command(name = "end_to_end", bin_name = "cargo bench --bench end_to_end --")]
pub(crate) struct Options {
    /// Rounds; each measures every server once, in a different order [default: 7, with --quick 2]
    #[arg(long)]
    rounds: Option<usize>,
    /// Seconds of each measurement [default: 3, with --quick 0.5]
    #[arg(long)]
    seconds: Option<f64>,
    /// Connections under load [default: 32 on one core, 64 on two]
    #[arg(long)]
    connections: Option<usize>,
    /// One: the server has a core and the load another. Two: both share two cores, two server threads.
    #[arg(long, value_enum, default_value_t = Cores::One)]
    pub(crate) cores: Cores,
    /// Only these servers, and the control.
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    only: Vec<String>,
    /// Only these parts.
    #[arg(long, value_delimiter = ',', value_enum, value_name = "PART")]
    parts: Vec<Part>,
    /// Calls of each kind of cold start [default: 1000, with --quick 50]
    #[arg(long, value_name = "N")]
    cold: Option<usize>,
    /// Uploads [default: 30, with --quick 5]
    #[arg(long, value_name = "N")]
    uploads: Option<usize>,
    /// Functions deployed for the parts `start` [default: 10000, with --quick 200]
    #[arg(long, value_name = "N")]
    functions: Option<usize>,
    /// Distinct modules among them [default: 200, with --quick 20]
    #[arg(long, value_name = "N")]
    distinct: Option<usize>,
    /// How uneven the calls of many functions are.
    #[arg(long, default_value_t = 1.0, value_name = "S")]
    pub(crate) zipf: f64,
    /// A component made of JavaScript that answers as every hello does; see docs/guests.md.
    #[arg(long, value_name = "FILE")]
    pub(crate) js: Option<PathBuf>,
    /// The same made of Python.
    #[arg(long, value_name = "FILE")]
    pub(crate) python: Option<PathBuf>,
    /// Writes everything that was measured.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Writes what is printed, as Markdown.
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
    /// Small and short, to see that everything works: its figures mean nothing.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Another build of the server, to be compared with this one.
    #[arg(long, value_name = "FILE", default_value = env!("CARGO_BIN_EXE_spawnpoint"), hide_default_value = true)]
    pub(crate) spawnpoint: PathBuf,
    /// Lists the servers and ends.
    #[arg(long)]
    pub(crate) list: bool,
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

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Throughput under many connections.
    Load,
    /// One connection.
    Latency,
    /// CPU time of a request with few connections and with many.
    Connections,
    /// Calls of a function that was made cold.
    Cold,
    /// From an upload to its first answer.
    Upload,
    /// A server with many functions: its start, its memory, its rate.
    Functions,
}

/// The options with their defaults, which differ with `--quick`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) rounds: usize,
    pub(crate) measured: Duration,
    pub(crate) connections: usize,
    pub(crate) cold: usize,
    pub(crate) uploads: usize,
    pub(crate) functions: usize,
    pub(crate) distinct: usize,
}

impl Options {
    pub(crate) fn sizes(&self) -> Result<Sizes> {
        let pick = |asked: Option<usize>, full, quick| asked.unwrap_or(if self.quick { quick } else { full });
        let seconds = self.seconds.unwrap_or(if self.quick { 0.5 } else { 3.0 });
        let two = self.cores == Cores::Two;
        let functions = pick(self.functions, 10_000, 200);
        let sizes = Sizes {
            rounds: pick(self.rounds, 7, 2),
            measured: Duration::try_from_secs_f64(seconds)?,
            connections: self.connections.unwrap_or(if two { 64 } else { 32 }),
            cold: pick(self.cold, 1_000, 50),
            uploads: pick(self.uploads, 30, 5),
            functions,
            distinct: pick(self.distinct, 200, 20).min(functions),
        };
        ensure!((1..=1_000).contains(&sizes.rounds), "`--rounds` is {}: 1 to 1000", sizes.rounds);
        ensure!((0.1..=60.0).contains(&seconds), "`--seconds` is {seconds}: 0.1 to 60");
        let most = 20_000;
        ensure!((2..=most).contains(&sizes.connections), "`--connections`: 2 to {most}");
        ensure!(sizes.functions > 0 && sizes.distinct > 0, "`--functions` and `--distinct`: at least 1");
        ensure!(self.zipf.is_finite() && self.zipf >= 0.0, "`--zipf` is {}: at least 0", self.zipf);
        Ok(sizes)
    }

    pub(crate) fn has(&self, part: Part) -> bool {
        self.parts.is_empty() || self.parts.contains(&part)
    }

    /// The servers of the rounds, the control first.
    pub(crate) fn subjects(&self) -> Result<Vec<Subject>> {
        let known = |name: &String| subjects::ALL.iter().any(|subject| subject.name == name);
        if let Some(unknown) = self.only.iter().find(|name| !known(name)) {
            let names: Vec<&str> = subjects::ALL.iter().map(|subject| subject.name).collect();
            anyhow::bail!("`--only {unknown}`: there are {}", names.join(", "));
        }
        let wanted = |subject: &&Subject| {
            let named = self.only.iter().any(|name| name == subject.name);
            let compared = self.cores == Cores::Two && subject.name == ONE_THREAD;
            subject.name == NATIVE
                || named
                || (self.only.is_empty() && compared)
                || (self.only.is_empty() && subject.usual)
        };
        Ok(subjects::ALL.iter().filter(wanted).copied().collect())
    }
}
