//! How long the calls of a version take of a thread, from how those before took. Must never read a clock, and never write
//! anything for a version whose calls are all short.

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What others on a thread may well wait for, in nanoseconds of CPU time.
pub const SHORT_NS: u64 = 100_000;
/// What is below counts for nothing.
const NOTHING_NS: u64 = SHORT_NS / 2;
/// A shorter call than those before takes off one part in so many of what they were longer.
const SLOWLY: u64 = 16;

/// The longest of one version's last calls, more or less: one long call in some twenty keeps it up.
#[derive(Debug, Default)]
pub struct Length(AtomicU64);

impl Length {
    /// Whether its next call had better not be waited for.
    #[must_use]
    pub fn is_long(&self) -> bool {
        self.0.load(Relaxed) > SHORT_NS
    }

    /// A call took so much CPU time, in nanoseconds. Of two at once one may go unnoticed.
    pub fn took(&self, cpu_ns: u64) {
        let seen = self.0.load(Relaxed);
        let next = cpu_ns.max(seen - seen.saturating_sub(cpu_ns).div_ceil(SLOWLY));
        let next = if next < NOTHING_NS { 0 } else { next };
        if next != seen {
            self.0.store(next, Relaxed);
        }
    }
}
