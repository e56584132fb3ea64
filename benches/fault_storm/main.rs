//! `cargo bench --bench fault_storm`: what traps cost the function that traps, its neighbour, and the call that comes next.
//! Must never leave a process or a file behind, and never call a bar met on a figure that has errors in it.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser as _;

#[macro_use]
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "what other benches need of it")]
mod support;

mod aftermath;
mod options;
mod report;
mod storm;

use machine::Machine;
use measure::Shape;
use options::{Cores, Options};
use report::Report;
use spawnpoint::Place;
use support::{
    client, guests, load, machine, measure, open_loop, page, phase, process, spawnpoint, stats, wasm,
};

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
    let second = || args.get(1).context("an argument is missing");
    match args.first().map(String::as_str) {
        Some("__exec") => serde_json::from_str::<process::Launch>(second()?)?.become_it()?,
        Some("__load") => {
            let load = serde_json::from_slice(&std::fs::read(second()?)?)?;
            say!("{}", serde_json::to_string(&load::run(&load)?)?);
        }
        _ => return harness(&Options::parse()),
    }
    Ok(ExitCode::SUCCESS)
}

fn harness(options: &Options) -> Result<ExitCode> {
    let sizes = options.sizes()?;
    let folder = tempfile::Builder::new().prefix("spawnpoint-bench-").tempdir()?;
    support::end_on_signal(folder.path().to_owned())?;
    let cores = process::cores();
    let (place, shape, pinning) = places(options, &cores, folder.path().to_owned(), sizes.measured);
    let mut report = Report {
        machine: Machine::look(cores.len(), pinning),
        made: format!(
            "{} interleaved rounds of {:?}, {} connections in a closed loop; the neighbour is called {} times a second, \
             counted from when each call was due. Ratios are medians of the ratios within a round.",
            sizes.rounds, sizes.measured, options.connections, options.rate
        ),
        quick: options.quick,
        rows: vec![],
        singles: vec![],
        problems: vec![],
    };
    let mut server = storm::start(&place)?;
    match storm::run(&server, &place, &shape, (sizes.rounds, options.rate)) {
        Ok(rows) => report.rows = rows,
        Err(error) => report.problems.push(format!("{error:#}")),
    }
    for row in report.rows.iter().filter(|row| row.errors() > 0) {
        let first = row.rounds.iter().find_map(|round| round.storm.first_error.as_deref());
        let (percent, errors) = (row.percent, row.errors());
        let first = first.unwrap_or("the neighbour's");
        report.problems.push(format!("{percent:?} % traps: {errors} errors, first: {first}"));
    }
    tell!("single calls");
    match aftermath::run(&mut server, sizes.calls) {
        Ok(singles) => report.singles = singles,
        Err(error) => report.problems.push(format!("{error:#}")),
    }
    drop(server);
    say!("{}", report.markdown());
    if let Some(file) = &options.json {
        std::fs::write(file, serde_json::to_string_pretty(&report)?)?;
    }
    folder.close()?;
    let failed = !report.problems.is_empty() || (report.is_broken() && !options.report);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Who runs where, and a sentence about it.
fn places(
    options: &Options,
    cores: &[usize],
    dir: std::path::PathBuf,
    measured: std::time::Duration,
) -> (Place, Shape, String) {
    let (server, load, threads, pinning) = match (options.cores, cores) {
        (Cores::One, [first, second, ..]) => (
            vec![*first],
            vec![*second],
            1,
            format!("Server on core {first}, loads on core {second}, one server thread."),
        ),
        (Cores::Two, [_, _, ..]) => (
            vec![],
            vec![],
            2,
            "Nothing is pinned from outside: two server threads share the cores with the loads.".to_owned(),
        ),
        _ => (vec![], vec![], 1, "NOT PINNED: there is one core only.".to_owned()),
    };
    // The neighbour's clients are threads of the harness.
    process::pin(&load);
    let place = Place {
        spawnpoint: options.spawnpoint.clone(),
        cpus: server,
        threads,
        connections: options.connections,
        cores: cores.to_vec(),
        breaker_off: options.breaker_off(),
        dir,
    };
    let shape = Shape { connections: options.connections, threads, measured, cpus: load };
    (place, shape, pinning)
}
