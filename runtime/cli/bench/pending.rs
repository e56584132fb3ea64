//! What was just deployed answers quickly compiled code first: a measurement waits until the server has compiled for
//! speed whatever it wants to. Must never wait without an end: a server that others deploy to may never be done.

use std::time::Duration;

use http::Method;
use tokio::time::{sleep, timeout};

use super::Stop;
use crate::cli::client::{Call, Client};
use crate::cli::print;

const PENDING: &str = "spawnpoint_optimisations_pending ";
/// How often the server is asked.
const EACH: Duration = Duration::from_millis(50);
/// How long is waited in any case, and for each upload that this run deployed: these compilations give way to all else.
const PATIENCE: Duration = Duration::from_secs(30);
const FOR_EACH: Duration = Duration::from_millis(500);

/// Waits until no compilation for speed is pending, somebody wants an end, or it takes too long, which is said.
pub(super) async fn wait(client: &Client, uploads: u32, stop: &mut Stop) {
    let asking = async {
        loop {
            // Who does not tell is not asked again: what is measured may be a server of another make, or behind a proxy.
            let Ok((_, metrics)) = client.answer(Call::new(Method::GET, "/metrics")).await else {
                print::note(
                    "the server does not say what it compiles: some calls may run what was compiled quickly",
                );
                return;
            };
            if pending(&String::from_utf8_lossy(&metrics)) == 0 {
                return;
            }
            sleep(EACH).await;
        }
    };
    let patience = PATIENCE + FOR_EACH * uploads;
    tokio::select! {
        asked = timeout(patience, asking) => asked.unwrap_or_else(|_| {
            print::note("not everything is compiled for speed yet: some calls run what was compiled quickly");
        }),
        () = stop.wait() => {}
    }
}

/// How many are, as the server says. One that says nothing has none.
fn pending(metrics: &str) -> u64 {
    let count = metrics.lines().find_map(|line| line.strip_prefix(PENDING));
    count.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}
