//! The rounds: every share of traps once a round, in an order that turns, with a neighbour called throughout.
//! Must never compare figures of two rounds with each other.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::guests;
use crate::load::{Measured, Mixed};
use crate::measure::{Shape, Target, measure};
use crate::open_loop::{OpenLoop, Priority};
use crate::phase::{Phase, between};
use crate::spawnpoint::{OPTIMISED, Place, Spawnpoint, path_in, path_of};
use crate::stats::median;
use crate::{machine, process, wasm};

/// One share of traps, over all rounds.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    /// Of a hundred calls; none when nobody but the neighbour is called.
    pub(crate) percent: Option<u32>,
    pub(crate) rounds: Vec<Round>,
}

/// One measurement.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Round {
    pub(crate) storm: Measured,
    pub(crate) neighbour: Phase,
    /// Cores that were busy with neither the server nor a load.
    pub(crate) other_cores: f64,
}

/// The function that traps when it is asked to, and what a fresh instance of it answers.
pub(crate) const STORM: &str = "storm";
pub(crate) const FRESH: &str = "1";
/// With which status a trap is answered.
pub(crate) const TRAPPED: u16 = 502;

const NEIGHBOUR: &str = "neighbour";
const HELLO: &str = "Hello, World!\n";
/// What is measured, the calm first.
const SHARES: [Option<u32>; 5] = [None, Some(0), Some(1), Some(10), Some(100)];
/// Connections of the neighbour's clients.
const CLIENTS: u32 = 8;
/// What a load needs to come up, which is not to count as calm.
const MARGIN: Duration = Duration::from_millis(50);

/// The server of all of this.
pub(crate) fn start(place: &Place) -> Result<Spawnpoint> {
    let mut server = Spawnpoint::start(place, STORM, "")?;
    server.make_tenant(NEIGHBOUR)?;
    server.deploy(STORM, &wasm::built("counter")?, &place.manifest(false))?;
    let hello = std::fs::read(guests::path("hello")?)?;
    server.deploy_in(NEIGHBOUR, "hello", &hello, &place.manifest(false))?;
    server.optimised(OPTIMISED)?;
    Ok(server)
}

/// Where the function traps.
pub(crate) fn trap_path() -> String {
    format!("{}?trap", path_of(STORM))
}

pub(crate) fn run(
    server: &Spawnpoint,
    place: &Place,
    shape: &Shape,
    (rounds, rate): (usize, f64),
) -> Result<Vec<Row>> {
    let mut rows: Vec<Row> = SHARES.iter().map(|percent| Row { percent: *percent, rounds: vec![] }).collect();
    for round in 0..rounds {
        for turn in 0..rows.len() {
            let index = (turn + round) % SHARES.len();
            let found = once(server, place, shape, (SHARES[index], rate))
                .with_context(|| format!("round {}, {:?} % traps", round + 1, SHARES[index]))?;
            tell!(
                "  round {}/{rounds} {:>4} % {:>8.0} rps, neighbour's p99 {:>6.0} us",
                round + 1,
                SHARES[index].map_or("none".to_owned(), |percent| percent.to_string()),
                found.storm.rps(),
                found.neighbour.p99,
            );
            rows[index].rounds.push(found);
        }
    }
    Ok(rows)
}

fn once(
    server: &Spawnpoint,
    place: &Place,
    shape: &Shape,
    (percent, rate): (Option<u32>, f64),
) -> Result<Round> {
    let neighbour = OpenLoop {
        address: server.ingress,
        path: path_in(NEIGHBOUR, "hello"),
        expected: HELLO.to_owned(),
        rate,
        connections: CLIENTS,
        priority: Priority::RealTime,
    };
    let running = neighbour.start();
    std::thread::sleep(Duration::from_millis(200));
    let began = Instant::now();
    let others = || machine::busy_seconds() - process::cpu_seconds(std::process::id());
    let before = others();
    let storm = match percent {
        None => {
            std::thread::sleep(shape.warm_up() + shape.measured);
            Measured::default()
        }
        Some(percent) => {
            let path = path_of(STORM);
            let target = Target {
                address: server.ingress,
                server: server.child.pid(),
                paths: std::slice::from_ref(&path),
                zipf: 0.0,
                expected: FRESH,
                mixed: Some(&Mixed { path: trap_path(), percent, status: TRAPPED }),
            };
            measure(target, shape, &place.dir)?
        }
    };
    let other_cores = ((others() - before) / began.elapsed().as_secs_f64()).max(0.0);
    let from = (began + shape.warm_up() + MARGIN).saturating_duration_since(running.start);
    let (samples, first_error) = running.finish()?;
    let phase = Phase::of(between(&samples, from, from + shape.measured.saturating_sub(MARGIN)));
    if let Some(error) = first_error {
        tell!("  the neighbour: {error}");
    }
    Ok(Round { storm, neighbour: phase, other_cores })
}

impl Row {
    pub(crate) fn median(&self, of: impl Fn(&Round) -> f64) -> f64 {
        median(self.rounds.iter().map(of))
    }

    /// The median of the ratios to the other row's within a round.
    pub(crate) fn over(&self, other: &Self, of: impl Fn(&Round) -> f64) -> f64 {
        let pairs = self.rounds.iter().zip(&other.rounds);
        median(pairs.map(|(mine, theirs)| of(mine) / of(theirs).max(1e-9)))
    }

    /// Wrong answers of either function.
    pub(crate) fn errors(&self) -> usize {
        let errors = |round: &Round| {
            round.neighbour.errors + usize::try_from(round.storm.errors).unwrap_or(usize::MAX)
        };
        self.rounds.iter().map(errors).sum()
    }
}
