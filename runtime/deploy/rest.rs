//! How long a tenant that has compiled leaves the cores to those who are answered, before it compiles what it deploys next.
//! Must never hold up a tenant that deploys now and then, nor anybody while nobody is answered.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

/// Tells how many requests were answered since the start.
pub type Answered = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Requests in a second from which on somebody is answered.
const SOMEBODY: u128 = 100;
/// A rest is so many times what was compiled: a quarter of the time remains.
const TIMES: u32 = 3;
/// The longest one. What takes longer to compile starts few children, and starting and clearing away is what others feel.
const MOST: Duration = Duration::from_secs(2);

/// Times compilations.
#[derive(Clone)]
pub struct Pace(Answered);

/// One of them.
pub(super) struct Stint<'a> {
    pace: &'a Pace,
    began: Instant,
    before: u64,
}

impl Pace {
    /// Of a server that has answered so many.
    #[must_use]
    pub fn of(answered: Answered) -> Self {
        Self(answered)
    }

    /// Begins to compile.
    pub(super) fn begin(&self) -> Stint<'_> {
        Stint { pace: self, began: Instant::now(), before: (self.0)() }
    }
}

impl Stint<'_> {
    /// What is due after it.
    pub(super) fn rest(&self) -> Duration {
        rest_after(self.began.elapsed(), (self.pace.0)().saturating_sub(self.before))
    }
}

/// After so long, in which so many were answered.
fn rest_after(took: Duration, answered: u64) -> Duration {
    let somebody = u128::from(answered) * 1_000_000 >= SOMEBODY * took.as_micros().max(1);
    if somebody { took.saturating_mul(TIMES).min(MOST) } else { Duration::ZERO }
}
