//! A server with thousands of functions: how soon it answers after a start, what they weigh, what they cost.
//! Must never call a function before the memory of idle ones was read.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde::Serialize;
use serde_json::json;

use crate::client::Client;
use crate::guests;
use crate::load::Measured;
use crate::measure::{Shape, Target, measure};
use crate::options::Sizes;
use crate::single::us;
use crate::spawnpoint::{Place, Spawnpoint, path_of};
use crate::stats::{Spread, median};
use crate::subjects::HELLO;
use crate::wasm::salted;

/// What a crowd of functions came to.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Crowd {
    pub(crate) functions: usize,
    /// Different modules among them, told apart by a custom section.
    pub(crate) distinct: usize,
    /// From starting the process to its line, and to the whole first answer, in microseconds.
    pub(crate) ready_us: Spread,
    pub(crate) first_answer_us: Spread,
    /// The same of a server without functions, to its line.
    pub(crate) empty_ready_us: Spread,
    /// Resident bytes that each function adds to an empty server.
    pub(crate) idle_bytes: f64,
    /// Functions called once, and resident bytes that each of those adds.
    pub(crate) loaded: usize,
    pub(crate) loaded_bytes: f64,
    pub(crate) zipf: f64,
    /// All of them, and the first one alone, in turn.
    pub(crate) all: Vec<Measured>,
    pub(crate) one: Vec<Measured>,
}

/// Starts of the server that are timed.
const STARTS: usize = 7;
/// Functions that are called to see what a loaded one weighs: fewer than any machine keeps loaded.
const LOADED: usize = 1_000;

pub(crate) fn run(place: &Place, sizes: &Sizes, zipf: f64, shape: &Shape) -> Result<Crowd> {
    let settings = format!("[server]\nfunctions_per_tenant = {}\n", sizes.functions.max(10_000));
    deploy(place, sizes, &settings)?;
    let mut crowd = Crowd {
        functions: sizes.functions,
        distinct: sizes.distinct,
        loaded: sizes.functions.min(LOADED),
        zipf,
        ..Crowd::default()
    };
    let (mut ready, mut first, mut empty) = (vec![], vec![], vec![]);
    let (mut full_kib, mut empty_kib) = (vec![], vec![]);
    for start in 0..STARTS {
        let bare = Spawnpoint::start(place, "empty", "")?;
        empty.push(us(bare.child.started().elapsed()));
        empty_kib.push(settled(&bare));
        drop(bare);
        let server = Spawnpoint::start(place, "crowd", &settings)?;
        ready.push(us(server.child.started().elapsed()));
        // Not always the same one: it may be that the first in some order is quick.
        let number = start * sizes.functions / STARTS;
        Client::connect(server.ingress)?.call(&path_of(&name(number)), HELLO)?;
        first.push(us(server.child.started().elapsed()));
        drop(server);
        let idle = Spawnpoint::start(place, "crowd", &settings)?;
        full_kib.push(settled(&idle));
    }
    crowd.ready_us = Spread::of(ready);
    crowd.first_answer_us = Spread::of(first);
    crowd.empty_ready_us = Spread::of(empty);
    crowd.idle_bytes = (median(full_kib) - median(empty_kib)) * 1024.0 / count(sizes.functions);
    under_load(&mut crowd, place, &settings, (sizes.rounds, shape))?;
    Ok(crowd)
}

/// Deploys on every core there is: this is not what is measured.
fn deploy(place: &Place, sizes: &Sizes, settings: &str) -> Result<()> {
    let wasm = std::fs::read(guests::path("hello_wasip2")?)?;
    let anywhere = Place { cpus: place.cores.clone(), ..place.clone() };
    let mut server = Spawnpoint::start(&anywhere, "crowd", settings)?;
    let start = Instant::now();
    for number in 0..sizes.functions {
        let salted = salted(&wasm, number % sizes.distinct);
        server.deploy(&name(number), &salted, &json!({}))?;
        if (number + 1) % 1_000 == 0 {
            tell!("  {} functions after {:.0} s", number + 1, start.elapsed().as_secs_f64());
        }
        ensure!(start.elapsed() < Duration::from_hours(1), "deploying takes more than an hour");
    }
    // All copies of one module at once, as soon as that is compiled.
    server.optimised(Duration::from_hours(1))?;
    Ok(())
}

fn under_load(
    crowd: &mut Crowd,
    place: &Place,
    settings: &str,
    (rounds, shape): (usize, &Shape),
) -> Result<()> {
    let server = Spawnpoint::start(place, "crowd", settings)?;
    let mut client = Client::connect(server.ingress)?;
    client.call(&path_of(&name(0)), HELLO)?;
    let before = settled(&server);
    for number in 1..crowd.loaded {
        client.call(&path_of(&name(number)), HELLO)?;
    }
    crowd.loaded_bytes = (settled(&server) - before) * 1024.0 / count(crowd.loaded.saturating_sub(1).max(1));

    let paths: Vec<String> = (0..crowd.functions).map(|number| path_of(&name(number))).collect();
    let target = |paths| Target {
        address: server.ingress,
        server: server.child.pid(),
        paths,
        zipf: crowd.zipf,
        expected: HELLO,
        mixed: None,
    };
    for round in 0..rounds {
        crowd.all.push(measure(target(&paths[..]), shape, &place.dir)?);
        crowd.one.push(measure(target(&paths[..1]), shape, &place.dir)?);
        tell!("  round {}/{rounds} of {} functions", round + 1, crowd.functions);
    }
    Ok(())
}

impl Crowd {
    /// The rate of all functions over that of one.
    pub(crate) fn rate(&self) -> f64 {
        self.over(Measured::rps)
    }

    /// CPU time of a request with all functions over that with one.
    pub(crate) fn cpu(&self) -> f64 {
        self.over(Measured::cpu_us)
    }

    fn over(&self, of: impl Fn(&Measured) -> f64) -> f64 {
        let pairs = self.all.iter().zip(&self.one);
        median(pairs.map(|(all, one)| of(all) / of(one).max(1e-9)))
    }

    pub(crate) fn errors(&self) -> u64 {
        self.all.iter().chain(&self.one).map(|round| round.errors).sum()
    }
}

fn name(number: usize) -> String {
    format!("f{number}")
}

/// Resident KiB, once what goes on after a start or a call is over.
fn settled(server: &Spawnpoint) -> f64 {
    std::thread::sleep(Duration::from_millis(300));
    #[expect(clippy::cast_precision_loss, reason = "less memory than 2^52 KiB")]
    let kib = server.child.memory().now_kib as f64;
    kib
}

fn count(number: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "fewer functions than 2^52")]
    let number = number as f64;
    number
}
