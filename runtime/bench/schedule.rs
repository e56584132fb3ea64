//! When each request of a load at a fixed rate is due, counted from the start of the load.
//! Must never depend on how requests fare: a time that moved because an answer was late would hide the wait.

use std::time::Duration;

/// Requests a second, for so long. Whole numbers throughout, so that hours of it drift by nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    per_million_seconds: u64,
    total: u64,
}

/// Nanoseconds in the time that the rate is kept for.
const NANOS: u128 = 1_000_000 * 1_000_000_000;

impl Schedule {
    /// At least one request, however short it lasts.
    #[must_use]
    pub fn new(per_second: f64, lasts: Duration) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at most 2^53, and positive"
        )]
        let per_million_seconds = (per_second * 1e6).round().clamp(1.0, 9e15) as u64;
        let mut all = Self { per_million_seconds, total: u64::MAX };
        // What is due at the very end is one more than the rate says.
        all.total = all.due_by(lasts.saturating_sub(Duration::from_nanos(1))).max(1);
        all
    }

    /// How many there are in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// When the request of this number is due; the first has number 0.
    #[must_use]
    pub fn due(&self, number: u64) -> Duration {
        let nanos = u128::from(number) * NANOS / u128::from(self.per_million_seconds);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// How many are due after this time, those of this very moment included.
    #[must_use]
    pub fn due_by(&self, elapsed: Duration) -> u64 {
        let later = elapsed.as_nanos().saturating_add(1);
        let due = later.saturating_mul(u128::from(self.per_million_seconds)).div_ceil(NANOS);
        u64::try_from(due).unwrap_or(u64::MAX).min(self.total)
    }
}
