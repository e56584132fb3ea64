//! Components that the toolchains of other languages made: megabytes of an interpreter around a few lines, the same here and
//! in `wasmtime serve`. Must never be given anything but a component that answers like every hello.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::client::Client;
use crate::page::Single;
use crate::single::us;
use crate::spawnpoint::{Drops, Place, Spawnpoint, path_of};
use crate::stats::Spread;
use crate::subjects::{self, HELLO};

/// What is measured of one of them.
const ROWS: [(&str, &str); 8] = [
    (
        "upload",
        "spawnpoint, from the first byte of an upload to the first answer, of bytes nobody has compiled",
    ),
    ("upload, for speed", "spawnpoint, from then on until what was compiled for speed answers"),
    ("cold", "spawnpoint, the program was dropped: loaded from the page cache, linked, spawned"),
    ("spawned", "spawnpoint, ready instances were dropped: spawned"),
    ("warm", "spawnpoint, a fresh instance, right after another call"),
    ("wasmtime cold", "wasmtime serve, a new process with a full cache, from its start to its first answer"),
    ("wasmtime first", "wasmtime serve, the first call of a new process"),
    ("wasmtime warm", "wasmtime serve, a fresh instance, right after another call"),
];
/// Uploads and processes, of which each takes seconds.
const FEW: usize = 3;
/// How long what is compiled for speed may take.
const LONGEST: Duration = Duration::from_mins(10);

/// Everything about the component of one language.
pub(crate) fn run(place: &Place, language: &str, file: &Path, calls: usize) -> Result<Vec<Single>> {
    let wasm = std::fs::read(file).with_context(|| format!("`{}` cannot be read", file.display()))?;
    let mut times: [Vec<f64>; 8] = Default::default();
    spawnpoint(place, language, (&wasm, calls), &mut times)?;
    if subjects::on_path("wasmtime").is_some() {
        let name = format!("wasmtime-{language}");
        for number in 0..FEW {
            let (child, address) = subjects::wasmtime(place, &name, subjects::P2, file)?;
            let mut client = Client::connect(address)?;
            times[6].push(us(client.call("/", HELLO)?));
            times[5].push(us(child.started().elapsed()));
            for _ in 0..if number == 0 { calls } else { 0 } {
                times[7].push(us(client.call("/", HELLO)?));
            }
        }
    }
    let rows = ROWS.iter().zip(times).filter(|(_, times)| !times.is_empty());
    let single = |(name, about): &(&str, &'static str), times| {
        let (name, us) = (format!("{language}: {name}"), Spread::of(times));
        Single { name: name.into(), about, us }
    };
    Ok(rows.map(|(row, times)| single(row, times)).collect())
}

fn spawnpoint(
    place: &Place,
    language: &str,
    (wasm, calls): (&[u8], usize),
    times: &mut [Vec<f64>; 8],
) -> Result<()> {
    let mut server = Spawnpoint::start(place, language, "")?;
    for number in 0..FEW {
        let salted = crate::wasm::salted(wasm, number);
        let start = Instant::now();
        server.deploy("fresh", &salted, &place.manifest(false))?;
        let mut client = Client::connect(server.ingress)?;
        client.call(&path_of("fresh"), HELLO)?;
        times[0].push(us(start.elapsed()));
        let answered = Instant::now();
        server.optimised(LONGEST)?;
        times[1].push(us(answered.elapsed()));
    }
    let mut client = Client::connect(server.ingress)?;
    server.reconnect()?;
    let fresh = path_of("fresh");
    for _ in 0..3 {
        client.call(&fresh, HELLO)?;
    }
    for _ in 0..calls {
        server.cold("fresh", Drops::Program)?;
        times[2].push(us(client.call(&fresh, HELLO)?));
        server.cold("fresh", Drops::Instances)?;
        times[3].push(us(client.call(&fresh, HELLO)?));
        times[4].push(us(client.call(&fresh, HELLO)?));
    }
    Ok(())
}
