//! How long a tenant that has compiled leaves the cores to those who are answered, before it compiles what it deploys next.
//! Must never hold up a tenant that deploys now and then, nor anybody while nobody is answered.

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use crate::model::audience::{self, Answered};

/// A rest is so many times what was compiled: a quarter of the time remains.
const TIMES: u32 = 3;
/// The longest one. What takes longer to compile starts few children, and starting and clearing away is what others feel.
const MOST: Duration = Duration::from_secs(2);

/// Says who rests for how long.
#[derive(Clone)]
pub struct Rests(Answered);

/// One compilation.
pub(super) struct Effort<'a> {
    rests: &'a Rests,
    began: Instant,
    before: u64,
}

impl Rests {
    /// Of a server that has answered so many.
    #[must_use]
    pub fn of(answered: Answered) -> Self {
        Self(answered)
    }

    /// Begins to compile.
    pub(super) fn begin(&self) -> Effort<'_> {
        Effort { rests: self, began: Instant::now(), before: (self.0)() }
    }
}

impl Effort<'_> {
    /// What is due after it.
    pub(super) fn rest(&self) -> Duration {
        rest_after(self.began.elapsed(), (self.rests.0)().saturating_sub(self.before))
    }
}

/// After so long, in which so many were answered.
fn rest_after(took: Duration, answered: u64) -> Duration {
    if audience::is_there(answered, took.as_nanos()) {
        took.saturating_mul(TIMES).min(MOST)
    } else {
        Duration::ZERO
    }
}
