//! `bench URL|FUNCTION`: measures a load, single cold calls, or many functions against one, and says what to doubt.
//! Must never leave anything deployed, nor take a figure for good that the load itself spoiled.

mod cold;
mod crowd;
mod error;
mod pending;
mod progress;
mod sheet;
mod stop;
mod subject;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::at::{At, Owner, Target};
use super::{Usage, print};
use crate::admin::wire::Function;
use crate::bench::caller;
use crate::bench::load::{self, Measured, Plan};
use crate::bench::report::{LoadReport, Report};

use crowd::Guests;
use sheet::Sheet;
use stop::Stop;
use subject::{Place, Subject};

pub(super) use error::BenchError;

/// What is measured, and how.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct BenchArgs {
    /// A URL, a function's name, or a .wasm file that is deployed while it is measured
    #[arg(value_name = "URL|FUNCTION", value_parser = Subject::parse)]
    subject: Subject,
    /// The path and query that a function sees
    #[arg(default_value = "/")]
    path: String,
    /// Calls a second, each at a time that was set before [default: 100, unless --connections, --cold or --functions]
    #[arg(short, long, value_name = "R", value_parser = rate)]
    rate: Option<f64>,
    /// Connections: alone, each sends its next call when the last one was answered; with --rate, the most calls at once
    #[arg(short, long, value_name = "C", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: Option<u32>,
    /// How long: 500ms, 10s, 2m [default: 10s]
    #[arg(short, long, value_name = "D", value_parser = duration)]
    duration: Option<Duration>,
    /// Make the function cold so many times, and call it cold, spawned and warm
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    cold: Option<u32>,
    /// Deploy so many copies under a temporary tenant, and compare calls of all with calls of one
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    functions: Option<u32>,
    /// The n-th copy is called less often than the first by n to the power of S
    #[arg(long, value_name = "S", requires = "functions", default_value_t = 1.0, value_parser = exponent)]
    zipf: f64,
    /// Make the copies of so many different modules [default: each of its own]
    #[arg(long, value_name = "M", requires = "functions", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    distinct: Option<u32>,
    /// How long one call may take
    #[arg(long, value_name = "D", default_value = "10s", value_parser = duration)]
    timeout: Duration,
    /// Write a report with plots; the page holds all it needs
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    #[command(flatten)]
    owner: Owner,
    #[command(flatten)]
    at: At,
}

const EXAMPLES: &str = "Examples:\n  \
    spawnpoint bench hello --rate 500 --duration 30s --html report.html\n  \
    spawnpoint bench http://127.0.0.1:8080/default/hello/ --connections 32\n  \
    spawnpoint bench hello --cold 100\n  \
    spawnpoint bench hello --functions 200 --zipf 1.1";

/// Of a load that nobody said anything about.
const RATE: f64 = 100.0;
/// Connections of a load at a rate, and of a closed loop.
const CONNECTIONS: [u32; 2] = [64, 16];
const LASTS: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_hours(1);
const MOST_PER_SECOND: f64 = 1_000_000.0;
/// More calls than that would not be sent, only counted.
const MOST_CALLS: f64 = 1e9;

/// What was measured.
#[derive(Default)]
struct Parts {
    load: Option<LoadReport>,
    cold: Option<crate::bench::report::ColdReport>,
    functions: Option<crate::bench::report::CrowdReport>,
}

pub(super) async fn run(args: BenchArgs) -> anyhow::Result<ExitCode> {
    args.check()?;
    let sheet = args.html.as_deref().map(Sheet::open).transpose()?;
    let mut stop = Stop::listen()?;
    let mut guests = None;
    let measured = measure(&args, &mut guests, &mut stop).await;
    // Whatever came of it, nothing stays.
    let removed = match guests {
        Some(guests) => guests.remove().await,
        None => Ok(()),
    };
    let (url, mut parts) = match (measured, removed) {
        (Ok(measured), Ok(())) => measured,
        (Ok(_), Err(left)) => return Err(left),
        (Err(error), removed) => {
            if let Err(left) = removed {
                print::error(&left);
            }
            return Err(error);
        }
    };
    if let Some(crowd) = &mut parts.functions {
        crowd.removed = true;
    }
    let failed = parts.failure();
    let report = parts.report(url, stop.is_set());
    // Each is worth having without the other: a page whose disk is full, a table that nobody reads to its end.
    let written = sheet.map_or(Ok(()), |sheet| sheet.write(&report));
    if args.at.json {
        print::json(&report)?;
    } else {
        table::show(&report)?;
    }
    written?;
    match failed {
        Some(error) => Err(error.into()),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// Measures what is asked for, and says at which URL. What it deploys is left to the caller in `guests`.
async fn measure(
    args: &BenchArgs,
    guests: &mut Option<Guests>,
    stop: &mut Stop,
) -> anyhow::Result<(String, Parts)> {
    let mut place = Place::find(args).await?;
    let mut parts = Parts::default();
    if let Some(count) = args.functions {
        let upload = place.upload(&args.at).await?;
        let guests = guests.insert(Guests::create(place.client()?.clone()).await?);
        let distinct = args.distinct.unwrap_or(count).min(count);
        parts.functions = crowd::compare(args, (guests, &upload, count, distinct), stop).await?;
    }
    if place.is_file() && (args.wants_load() || args.cold.is_some()) {
        let upload = place.upload(&args.at).await?;
        let guests = match guests {
            Some(guests) => guests,
            None => guests.insert(Guests::create(place.client()?.clone()).await?),
        };
        place = place.deployed(guests, &upload).await?;
    }
    if let Ok(client) = place.client() {
        pending::wait(client, 1, stop).await;
    }
    if args.wants_load() && !stop.is_set() {
        let target = place.target(args).await?;
        let plan = args.plan(target);
        let measured = observed(&plan, "load", stop).await?;
        parts.load = Some(LoadReport::new(&plan, &measured));
    }
    if let Some(count) = args.cold
        && !stop.is_set()
    {
        let target = place.target(args).await?;
        parts.cold = Some(cold::suite(place.cold()?, &target, u64::from(count), stop).await?);
    }
    Ok((place.shown(args), parts))
}

/// Runs a load to its end, or until it is stopped, and shows how far it is.
async fn observed(plan: &Plan, what: &str, stop: &mut Stop) -> anyhow::Result<Measured> {
    let bar = progress::timed(what, plan.lasts)?;
    let mut running = load::start(plan.clone())?;
    let measured = loop {
        tokio::select! {
            measured = running.end() => break measured,
            () = stop.wait(), if !stop.is_set() => running.stop(),
            () = tokio::time::sleep(progress::TICK) => bar.at(running.ended()),
        }
    };
    bar.end();
    Ok(measured?)
}

impl BenchArgs {
    /// What clap cannot see.
    fn check(&self) -> Result<(), Usage> {
        if let (Subject::Url(_), Some(option)) = (&self.subject, self.needs_a_function()) {
            return Err(Usage(format!(
                "{option} wants a function's name or a .wasm file: of a URL, nobody knows which function it is"
            )));
        }
        if matches!(self.subject, Subject::Url(_)) && self.path != "/" {
            return Err(Usage("a URL has its path in itself: a second one is for functions".to_owned()));
        }
        let calls = self.rate.unwrap_or(0.0) * self.lasts().as_secs_f64();
        if calls > MOST_CALLS {
            return Err(Usage(format!("--rate times --duration is {calls} calls: at most {MOST_CALLS}")));
        }
        Ok(())
    }

    fn needs_a_function(&self) -> Option<&'static str> {
        self.cold.map(|_| "--cold").or_else(|| self.functions.map(|_| "--functions"))
    }

    /// Whether there is a load beside what else was asked for.
    fn wants_load(&self) -> bool {
        let asked = self.rate.is_some() || self.connections.is_some() || self.duration.is_some();
        self.functions.is_none() && (asked || self.cold.is_none())
    }

    fn lasts(&self) -> Duration {
        self.duration.unwrap_or(LASTS)
    }

    /// The load that was asked for.
    fn plan(&self, target: caller::Target) -> Plan {
        let is_open = self.rate.is_some() || (self.connections.is_none() && self.functions.is_none());
        let usual = CONNECTIONS[usize::from(!is_open)];
        Plan {
            target,
            rate: is_open.then(|| self.rate.unwrap_or(RATE)),
            connections: self.connections.unwrap_or(usual) as usize,
            lasts: self.lasts(),
            zipf: 0.0,
        }
    }
}

impl Parts {
    /// Why the run as a whole failed, if it did: nothing was measured, or nothing was answered well.
    fn failure(&self) -> Option<BenchError> {
        let mut tried = Vec::new();
        tried.extend(self.load.as_ref().map(|load| (load.answered, load.sent, &load.failures)));
        tried.extend(self.cold.as_ref().map(|cold| {
            let answered: u64 = cold.starts.iter().map(|start| start.count).sum();
            (answered, answered + cold.failures.sum(), &cold.failures)
        }));
        let crowds = self.functions.iter().flat_map(|crowd| [&crowd.one, &crowd.all]);
        tried.extend(crowds.map(|load| (load.answered, load.sent, &load.failures)));
        if tried.iter().all(|(_, sent, _)| *sent == 0) {
            return Some(BenchError::Nothing);
        }
        let bad = tried.iter().find(|(answered, sent, _)| *answered == 0 && *sent > 0);
        bad.map(|(_, _, failures)| {
            BenchError::AllFailed(
                failures.first_failure.clone().unwrap_or_else(|| "no answer in time".to_owned()),
            )
        })
    }

    fn report(self, url: String, interrupted: bool) -> Report {
        let mut notes = Vec::new();
        if let Some(load) = &self.load {
            notes.extend(load.notes("load"));
        }
        if let Some(crowd) = &self.functions {
            notes.extend(crowd.one.notes("one function"));
            notes.extend(crowd.all.notes("all functions"));
        }
        if let Some(cold) = &self.cold {
            notes.extend(cold.notes());
        }
        let client = format!("spawnpoint {}", env!("CARGO_PKG_VERSION"));
        let Self { load, cold, functions } = self;
        Report { url, client, interrupted, load, cold, functions, notes }
    }
}

/// Where a function is.
fn target_of(function: &Function) -> Result<Target, crate::model::name::NameError> {
    Ok(Target { function: function.function.parse()?, owner: Owner { tenant: function.tenant.parse()? } })
}

/// Reads calls a second.
fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| (0.001..=MOST_PER_SECOND).contains(rate));
    rate.ok_or_else(|| format!("allowed is 0.001 to {MOST_PER_SECOND}"))
}

/// Reads the exponent of Zipf's law.
fn exponent(text: &str) -> Result<f64, String> {
    let exponent = text.parse().ok().filter(|exponent| (0.0..=10.0).contains(exponent));
    exponent.ok_or_else(|| "allowed is 0 (all alike) to 10".to_owned())
}

/// Reads `10s`, `500ms`, `2m`; a number alone is seconds.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text.get(digits.len()..) {
        Some("ms") => 1e-3,
        Some("s" | "") => 1.0,
        Some("m") => 60.0,
        Some("h") => 3600.0,
        _ => f64::NAN,
    };
    let seconds = digits.parse::<f64>().unwrap_or(f64::NAN) * unit;
    let allowed = (1e-3..=LONGEST.as_secs_f64()).contains(&seconds);
    if allowed {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err("allowed is 1ms to 1h, such as 10s".to_owned())
    }
}
