//! The call that comes after a trap, beside one that finds everything ready and one that finds nothing.
//! Must never leave a function warm that is counted as cold.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::client::Client;
use crate::page::Single;
use crate::spawnpoint::{Drops, Spawnpoint, path_of};
use crate::stats::Spread;
use crate::storm::{FRESH, STORM, TRAPPED, trap_path};

const NAMES: [(&str, &str); 6] = [
    (AFTER, "at once, on the same connection"),
    ("after a trap, rested", "5 ms later"),
    ("warm", "at once after a call that went well"),
    ("warm, rested", "5 ms after a call that went well"),
    ("spawned", "ready instances were dropped: spawned"),
    (COLD, "the program was dropped: loaded from the page cache, linked, spawned"),
];
pub(crate) const AFTER: &str = "after a trap";
pub(crate) const COLD: &str = "cold";
/// Long enough for an idle thread to make the next instance ready.
const REST: Duration = Duration::from_millis(5);
/// Calls that warm up the connection and the server's own code.
const WARM_UP: usize = 20;

pub(crate) fn run(server: &mut Spawnpoint, count: usize) -> Result<Vec<Single>> {
    server.reconnect()?;
    let mut client = Client::connect(server.ingress)?;
    let (path, trap) = (path_of(STORM), format!("GET {}", trap_path()));
    let trapped = |client: &mut Client| -> Result<()> {
        let answer = client.send(&trap, "", b"")?;
        ensure!(answer.status == TRAPPED, "a trap is answered with {}", answer.status);
        Ok(())
    };
    for _ in 0..WARM_UP {
        trapped(&mut client)?;
        client.call(&path, FRESH)?;
    }
    let mut times: [Vec<f64>; NAMES.len()] = Default::default();
    for _ in 0..count {
        trapped(&mut client)?;
        times[0].push(us(client.call(&path, FRESH)?));
        trapped(&mut client)?;
        std::thread::sleep(REST);
        times[1].push(us(client.call(&path, FRESH)?));
        client.call(&path, FRESH)?;
        times[2].push(us(client.call(&path, FRESH)?));
        std::thread::sleep(REST);
        times[3].push(us(client.call(&path, FRESH)?));
        server.cold(STORM, Drops::Instances)?;
        times[4].push(us(client.call(&path, FRESH)?));
        server.cold(STORM, Drops::Program)?;
        times[5].push(us(client.call(&path, FRESH)?));
    }
    let pairs = NAMES.iter().zip(times);
    Ok(pairs
        .map(|(&(name, about), times)| Single { name: name.into(), about, us: Spread::of(times) })
        .collect())
}

fn us(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
