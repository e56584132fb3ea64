//! `cargo bench --bench end_to_end`: Spawnpoint against native hyper and the peers on PATH, over real sockets.
//! Must never leave a process or a file behind, and never print a figure of a run that went wrong as if it had not.
//!
//! The same program is the harness, the control, the load and the step that pins each of them: see `__` below.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser as _;

#[macro_use]
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "what other benches need of it")]
mod support;

mod bars;
mod functions;
mod languages;
mod native;
mod options;
mod report;
mod rounds;
mod single;
mod subjects;

use measure::Shape;
use options::{Cores, Options, Part, Sizes};
use report::Report;
use spawnpoint::Place;
use subjects::Server;
use support::{client, guests, load, machine, measure, page, process, spawnpoint, stats, wasm};

/// The control must not lose for its allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            tell!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some("__exec") => serde_json::from_str::<process::Launch>(second(&args)?)?.become_it()?,
        Some("__native") => native::serve(serde_json::from_str(second(&args)?)?)?,
        Some("__load") => {
            let load = serde_json::from_slice(&std::fs::read(second(&args)?)?)?;
            say!("{}", serde_json::to_string(&load::run(&load)?)?);
        }
        _ => return harness(&Options::parse()),
    }
    Ok(ExitCode::SUCCESS)
}

fn second(args: &[String]) -> Result<&str> {
    args.get(1).map(String::as_str).context("an argument is missing")
}

fn harness(options: &Options) -> Result<ExitCode> {
    if options.list {
        for subject in subjects::ALL {
            say!(
                "{:18} {}{}",
                subject.name,
                subject.about,
                if subject.usual { "" } else { " (with --only)" }
            );
        }
        return Ok(ExitCode::SUCCESS);
    }
    let sizes = options.sizes()?;
    let folder = tempfile::Builder::new().prefix("spawnpoint-bench-").tempdir()?;
    support::end_on_signal(folder.path().to_owned())?;
    let cores = process::cores();
    let (place, shape, pinning) = places(options, &sizes, &cores, folder.path().to_owned());
    let mut report = Report {
        machine: machine::Machine::look(cores.len(), pinning),
        cores: options.cores,
        made: format!(
            "{} interleaved rounds of {:?}, {} connections; ratios are medians of the ratios within a round.",
            sizes.rounds, sizes.measured, sizes.connections
        ),
        quick: options.quick,
        load: vec![],
        latency: vec![],
        connections: vec![],
        singles: vec![],
        crowd: None,
        bars: vec![],
        skipped: vec![],
        problems: vec![],
    };
    in_rounds(options, &sizes, (&place, &shape), &mut report)?;
    one_by_one(options, &sizes, (&place, &shape), &mut report);
    report.close();
    let text = report.markdown();
    say!("{text}");
    if let Some(file) = &options.json {
        std::fs::write(file, serde_json::to_string_pretty(&report)?)?;
    }
    if let Some(file) = &options.markdown {
        std::fs::write(file, &text)?;
    }
    folder.close()?;
    Ok(if report.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Who runs where, and a sentence about it.
fn places(options: &Options, sizes: &Sizes, cores: &[usize], dir: PathBuf) -> (Place, Shape, String) {
    let (server, load, threads, pinning) = match (options.cores, cores) {
        (Cores::One, [first, second, ..]) => (
            vec![*first],
            vec![*second],
            1,
            format!("Server on core {first}, load on core {second}, one server thread."),
        ),
        (Cores::One, _) => (vec![], vec![], 1, "NOT PINNED: there is one core only.".to_owned()),
        (Cores::Two, [first, second, ..]) => (
            vec![*first, *second],
            vec![*first, *second],
            2,
            format!("Server and load share cores {first} and {second}, two server threads."),
        ),
        (Cores::Two, _) => (vec![], vec![], 2, "NOT PINNED: there is one core only.".to_owned()),
    };
    // The harness itself calls and waits where the load does.
    process::pin(&load);
    let place = Place {
        spawnpoint: options.spawnpoint.clone(),
        cpus: server,
        threads,
        connections: sizes.connections.max(rounds::FEW_AND_MANY[1]),
        cores: cores.to_vec(),
        breaker_off: false,
        dir,
    };
    let shape = Shape { connections: sizes.connections, threads, measured: sizes.measured, cpus: load };
    (place, shape, pinning)
}

fn in_rounds(
    options: &Options,
    sizes: &Sizes,
    (place, shape): (&Place, &Shape),
    report: &mut Report,
) -> Result<()> {
    if ![Part::Load, Part::Latency, Part::Connections].into_iter().any(|part| options.has(part)) {
        return Ok(());
    }
    let mut servers: Vec<Server> = vec![];
    for subject in options.subjects()? {
        if let Some(peer) = subject.missing() {
            report.skipped.push(format!("`{}`: `{peer}` is not on PATH", subject.name));
            continue;
        }
        tell!("starting {}", subject.name);
        match subject.start(place) {
            Ok(server) => servers.push(server),
            Err(error) => report.problems.push(format!("{error:#}")),
        }
    }
    if options.has(Part::Load) {
        tell!("throughput, {} connections", shape.connections);
        keep(report, rounds::run(&servers, sizes.rounds, shape, &place.dir), |report, rows| {
            report.load = rows;
        });
    }
    if options.has(Part::Latency) {
        tell!("one connection");
        let one = Shape { connections: 1, threads: 1, ..shape.clone() };
        keep(report, rounds::run(&servers, sizes.rounds, &one, &place.dir), |report, rows| {
            report.latency = rows;
        });
    }
    if options.has(Part::Connections)
        && let Some(fresh) = servers.iter().find(|server| server.subject.name == "fresh")
    {
        tell!("few connections and many");
        let rows = rounds::few_and_many(fresh, sizes.rounds, shape, &place.dir);
        keep(report, rows, |report, rows| report.connections = rows);
    }
    Ok(())
}

fn one_by_one(options: &Options, sizes: &Sizes, (place, shape): (&Place, &Shape), report: &mut Report) {
    if options.has(Part::Cold) {
        tell!("cold calls");
        keep(report, single::cold(place, sizes.cold), |report, rows| report.singles.extend(rows));
    }
    if options.has(Part::Upload) {
        tell!("uploads");
        keep(report, single::upload(place, sizes.uploads), |report, rows| report.singles.extend(rows));
    }
    for (language, file) in [("js", &options.js), ("python", &options.python)] {
        let Some(file) = file else { continue };
        tell!("{language}");
        let rows = languages::run(place, language, file, sizes.cold.min(200));
        keep(report, rows, |report, rows| report.singles.extend(rows));
    }
    if options.has(Part::Functions) {
        tell!("{} functions, {} distinct", sizes.functions, sizes.distinct);
        let crowd = functions::run(place, sizes, options.zipf, shape);
        keep(report, crowd, |report, crowd| report.crowd = Some(crowd));
    }
}

/// What failed is told at the end; what can still be measured is.
fn keep<T>(report: &mut Report, found: Result<T>, put: impl FnOnce(&mut Report, T)) {
    match found {
        Ok(found) => put(report, found),
        Err(error) => report.problems.push(format!("{error:#}")),
    }
}
