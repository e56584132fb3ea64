//! Single calls, each after something was dropped on purpose: the program, the ready instances, nothing.
//! Must never say what a start was: the server does, and that is what it is counted as.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use http::Method;

use super::{Stop, progress};
use crate::admin::wire::{Cold, ColdDrop, ColdRequest};
use crate::bench::caller::{Caller, Target};
use crate::bench::report::{Asked, ColdReport};
use crate::bench::tally::{Tally, Took};
use crate::cli::client::{Call, Client};

/// What is dropped before a call, in the order of a round: the last one finds what the one before it left.
const ROUND: [(&str, Option<ColdDrop>); 3] =
    [("program", Some(ColdDrop::Program)), ("instances", Some(ColdDrop::Instances)), ("nothing", None)];
/// The moment of rest in which a server makes the next instance ready.
const REST: Duration = Duration::from_millis(20);

/// So many rounds on one open connection.
pub(super) async fn suite(
    (client, path): (&Client, String),
    target: &Target,
    rounds: u64,
    stop: &Stop,
) -> anyhow::Result<ColdReport> {
    let mut asked = ROUND.map(|(dropped, _)| Asked { dropped, answered: BTreeMap::new() });
    let mut tally = Tally::new()?;
    let mut caller = Caller::new();
    let bar = progress::counted("cold calls", rounds * ROUND.len() as u64)?;
    'rounds: for _ in 0..rounds {
        for ((_, drop), asked) in ROUND.iter().zip(&mut asked) {
            if stop.is_set() {
                break 'rounds;
            }
            match drop {
                Some(drop) => {
                    let call = Call::json(Method::POST, path.as_str(), &ColdRequest { drop: *drop })?;
                    client.call::<Cold>(call).await?;
                }
                None => tokio::time::sleep(REST).await,
            }
            // Connecting is no part of a start.
            let opened = caller.open(target).await;
            let sent = Instant::now();
            let called = match opened {
                Ok(()) => caller.call(target, 0).await,
                Err(error) => Err(error),
            };
            match called {
                Ok(answer) => {
                    let first_byte = answer.head_at.saturating_duration_since(sent);
                    let whole = answer.end_at.saturating_duration_since(sent);
                    tally.answer(&answer, Took { first_byte, whole });
                    let said = answer.start.map_or("unnamed", |start| start.as_str());
                    *asked.answered.entry(said).or_insert(0) += 1;
                }
                Err(error) => tally.error(&error, sent.elapsed()),
            }
            bar.one();
        }
    }
    bar.end();
    Ok(ColdReport::new(rounds, asked.into(), &tally))
}
