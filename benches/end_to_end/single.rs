//! One call at a time: after a function was made cold, and after an upload.
//! Must never leave a function warm that is counted as cold.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::client::Client;
use crate::guests;
use crate::page::Single;
use crate::spawnpoint::{Drops, OPTIMISED, Place, Spawnpoint, path_of};
use crate::stats::Spread;
use crate::subjects::{self, HELLO, NATIVE};
use crate::wasm::salted;

/// The function of all of this.
const GUEST: &str = "hello_wasip2";
/// Calls that warm up the connection and the server's own code.
const WARM_UP: usize = 20;

/// The three temperatures of one function and the control, called in turn.
pub(crate) fn cold(place: &Place, count: usize) -> Result<Vec<Single>> {
    let mut server = Spawnpoint::start(place, "cold", "")?;
    let wasm = std::fs::read(guests::path(GUEST)?)?;
    server.deploy("hello", &wasm, &place.manifest(false))?;
    server.optimised(OPTIMISED)?;
    let mut client = Client::connect(server.ingress)?;
    let path = path_of("hello");

    let control = subjects::ALL.iter().find(|subject| subject.name == NATIVE).context("no control")?;
    let control = control.start(place)?;
    let mut native = Client::connect(control.address)?;
    for _ in 0..WARM_UP {
        client.call(&path, HELLO)?;
        native.call(&control.path, HELLO)?;
    }
    let mut times: [Vec<f64>; 4] = Default::default();
    for _ in 0..count {
        server.cold("hello", Drops::Program)?;
        times[0].push(us(client.call(&path, HELLO)?));
        server.cold("hello", Drops::Instances)?;
        times[1].push(us(client.call(&path, HELLO)?));
        times[2].push(us(client.call(&path, HELLO)?));
        times[3].push(us(native.call(&control.path, HELLO)?));
    }
    let names = [
        ("cold", "the program was dropped: loaded from the page cache, linked, spawned"),
        ("spawned", "ready instances were dropped: spawned"),
        ("warm", "right after another call"),
        ("native", "the control"),
    ];
    let pairs = names.iter().zip(times);
    Ok(pairs
        .map(|(&(name, about), times)| Single { name: name.into(), about, us: Spread::of(times) })
        .collect())
}

/// From the first byte of an upload to the whole first answer, each time of bytes that nobody has compiled.
pub(crate) fn upload(place: &Place, count: usize) -> Result<Vec<Single>> {
    let mut server = Spawnpoint::start(place, "upload", "")?;
    let wasm = std::fs::read(guests::path(GUEST)?)?;
    let mut client = Client::connect(server.ingress)?;
    let (mut whole, mut compile, mut first) = (vec![], vec![], vec![]);
    for number in 0..count {
        let function = format!("upload-{number}");
        let salted = salted(&wasm, number);
        let start = Instant::now();
        let deployed = server.deploy(&function, &salted, &place.manifest(false))?;
        first.push(us(client.call(&path_of(&function), HELLO)?));
        whole.push(us(start.elapsed()));
        compile.push(deployed.compile_ms * 1e3);
        // The next one is not to compete with what nobody waits for.
        server.optimised(OPTIMISED)?;
    }
    let single = |name: &'static str, about, times: Vec<f64>| Single {
        name: name.into(),
        about,
        us: Spread::of(times),
    };
    Ok(vec![
        single("upload", "from the first byte of the upload to the first answer", whole),
        single("of which compiling", "by the server's own account", compile),
        single("of which the first call", "after the upload was acknowledged", first),
    ])
}

pub(crate) fn us(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
