//! `cargo bench --bench noisy_neighbour`: what one tenant's misbehaviour does to the latency of another's function.
//! Must never leave a process or a file behind, and never call a bar met that was not measured.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser as _;

#[macro_use]
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "what other benches need of it")]
mod support;

mod abuses;
mod attack;
mod bombs;
mod floods;
mod options;
mod report;
mod siege;
mod timeline;
mod wire;

use abuses::Abuse;
use options::Options;
use report::Report;
use siege::{Plan, Row};
use spawnpoint::Place;
use support::{guests, machine, open_loop, page, pauses, phase, process, spawnpoint, stats, wasm};

/// What the victim answers.
pub(crate) const HELLO: &str = "Hello, World!\n";

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
    if args.first().is_some_and(|first| first == "__exec") {
        let launch = args.get(1).context("an argument is missing")?;
        serde_json::from_str::<process::Launch>(launch)?.become_it()?;
    }
    harness(&Options::parse())
}

fn harness(options: &Options) -> Result<ExitCode> {
    if options.list {
        for abuse in abuses::ALL {
            say!("{:16} {}", abuse.name, abuse.about);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let (phase, wanted) = (options.phase()?, abuses::named(&options.only)?);
    let folder = tempfile::Builder::new().prefix("spawnpoint-bench-").tempdir()?;
    support::end_on_signal(folder.path().to_owned())?;
    let cores = process::cores();
    let place = Place {
        spawnpoint: options.spawnpoint.clone(),
        cpus: vec![],
        threads: 2,
        connections: options.connections,
        cores: cores.clone(),
        breaker_off: !options.breaker_on,
        dir: folder.path().to_owned(),
    };
    let pinning =
        "Nothing is pinned from outside: a server of two threads and all clients share the cores.".to_owned();
    let machine = machine::Machine::look(cores.len(), pinning);
    let (rate, chosen) = if let Some(rate) = options.rate {
        (rate, "as asked for".to_owned())
    } else {
        let knee = siege::knee(&place, options.priority(), options.quick)?;
        let (share, flat) = (options.share * 100.0, siege::FLAT_US / 1e3);
        let chosen = format!("{share:.0} % of the {knee:.0} up to which its p99 stays below {flat} ms");
        ((knee * options.share).max(10.0), chosen)
    };
    let rounds = options.rounds()?;
    let plan = Plan {
        phase,
        connections: options.connections,
        rate,
        priority: options.priority(),
        abuser: options.abuser(),
    };
    let made = format!(
        "{phase:?} each of undisturbed, abuse, recovery, a server of its own each time; medians of {rounds} interleaved rounds, \
         errors of all. The victim is called {rate:.0} times a second ({chosen}) over {} connections by a client with {}; an abuse has \
         {} by a thread for each core with {}.",
        siege::CLIENTS,
        options.priority().given(),
        options.connections,
        options.abuser().given(),
    );
    tell!("{made}");
    let mut report = Report { machine, made, quick: options.quick, rows: vec![], problems: vec![] };
    // All of it before anybody is called: what making it leaves behind is cleared away for a while, and not only here.
    let wanted: Vec<_> =
        wanted.into_iter().map(|abuse| Ok((abuse, attack::published(&abuse)?))).collect::<Result<_>>()?;
    all(&wanted, (&plan, rounds), (&place, &mut report));
    say!("{}", report.markdown());
    if let Some(file) = &options.json {
        std::fs::write(file, serde_json::to_string_pretty(&report)?)?;
    }
    folder.close()?;
    let failed = !report.problems.is_empty() || (report.is_broken() && !options.report);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Every abuse in every round, into the report.
fn all(wanted: &[(Abuse, Vec<u8>)], (plan, rounds): (&Plan, usize), (place, report): (&Place, &mut Report)) {
    let mut rows: Vec<Vec<Row>> = wanted.iter().map(|_| vec![]).collect();
    for round in 1..=rounds {
        for ((abuse, published), rows) in wanted.iter().zip(&mut rows) {
            match siege::run((abuse, published), plan, place) {
                Ok(row) => {
                    let (victim, name) = (&row.victim, abuse.name);
                    let (p99, calm) = (victim.abuse.p99, victim.undisturbed.p99);
                    let [before, paused] = row.paused.map(|share| share * 100.0);
                    tell!(
                        "  {round}/{rounds} {name:16} p99 {p99:>7.0} us of {calm:>6.0} us, paused {paused:.1} % ({before:.1})"
                    );
                    rows.push(row);
                }
                Err(error) => report.problems.push(format!("`{}`: {error:#}", abuse.name)),
            }
        }
    }
    for row in rows.iter().filter_map(|rows| siege::median(rows)) {
        let name = row.name;
        if let Some(error) = &row.first_error {
            let errors = row.victim.errors();
            report.problems.push(format!("`{name}`: {errors} errors of the victim, first: {error}"));
        }
        if row.left > 0 {
            let text = "compilations outlived the server, and were ended by this bench";
            report.problems.push(format!("`{name}`: {} {text}", row.left));
        }
        report.rows.push(row);
    }
}
