//! How often something may be asked: the generic cell rate algorithm, which needs one number and no timer.
//! Must never read a clock; whoever asks says what time it is.

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The most that may be asked for in a second.
pub const MOST_PER_SECOND: u32 = 1_000_000;

const SECOND_NS: u64 = 1_000_000_000;

/// A rate with its burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    interval_ns: u64,
    /// How far ahead of the time requests may be.
    slack_ns: u64,
}

/// When the next request would come if all came evenly.
#[derive(Debug, Default)]
pub struct Cell(AtomicU64);

impl Rate {
    /// So many in a second, and so many at once after a pause; a burst of zero is one second's worth. `None` for a rate
    /// of zero, which is no rate.
    #[must_use]
    pub fn new(per_second: u32, burst: u32) -> Option<Self> {
        if per_second == 0 {
            return None;
        }
        let interval_ns = SECOND_NS / u64::from(per_second.min(MOST_PER_SECOND));
        let burst = if burst == 0 { per_second } else { burst };
        Some(Self { interval_ns, slack_ns: interval_ns.saturating_mul(u64::from(burst - 1)) })
    }

    /// What a request at this time makes of the cell.
    ///
    /// # Errors
    /// When it comes too early: by how many nanoseconds.
    pub fn next(&self, cell_ns: u64, now_ns: u64) -> Result<u64, u64> {
        let due = cell_ns.max(now_ns);
        let early = (due - now_ns).saturating_sub(self.slack_ns);
        if early > 0 { Err(early) } else { Ok(due.saturating_add(self.interval_ns)) }
    }
}

impl Cell {
    /// Lets a request through, or says in how many milliseconds one may come.
    ///
    /// # Errors
    /// When it comes too early.
    pub fn take(&self, rate: &Rate, now_ns: u64) -> Result<(), u64> {
        let mut seen = self.0.load(Relaxed);
        loop {
            let next = rate.next(seen, now_ns).map_err(|early| early.div_ceil(1_000_000))?;
            match self.0.compare_exchange_weak(seen, next, Relaxed, Relaxed) {
                Ok(_) => return Ok(()),
                Err(now) => seen = now,
            }
        }
    }

    /// Takes back what [`Cell::take`] took, for a request that was not let in after all.
    pub fn untake(&self, rate: &Rate) {
        self.0.fetch_sub(rate.interval_ns, Relaxed);
    }
}
