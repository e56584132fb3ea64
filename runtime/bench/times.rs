//! Many durations of one thing: counted to three digits, joined without loss, read as quantiles.
//! Must never average: what is looked for is in the tail.

use std::time::Duration;

use hdrhistogram::{CreationError, Histogram};
use serde::Serialize;

/// Durations up to two minutes, in nanoseconds; what is longer counts as two minutes.
#[derive(Clone, Debug)]
pub struct Times(Histogram<u64>);

/// What they came to, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Quantiles {
    /// How many there were.
    pub count: u64,
    /// The shortest.
    pub min_us: f64,
    /// The middle.
    pub p50_us: f64,
    /// Nine of ten took at most that.
    pub p90_us: f64,
    /// 99 of a hundred.
    pub p99_us: f64,
    /// 999 of a thousand; of fewer than a thousand, close to the longest.
    pub p99_9_us: f64,
    /// The longest.
    pub max_us: f64,
}

/// One point of a curve: so large a share of them took at most that.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// 0 to 1.
    pub share: f64,
    /// Microseconds.
    pub us: f64,
}

/// The longest duration that is told from longer ones.
const LONGEST_NS: u64 = 120_000_000_000;

impl Times {
    /// None yet.
    ///
    /// # Errors
    /// Never with these bounds.
    pub fn new() -> Result<Self, CreationError> {
        Ok(Self(Histogram::new_with_bounds(1, LONGEST_NS, 3)?))
    }

    /// Adds one.
    pub fn record(&mut self, took: Duration) {
        self.record_many(took, 1);
    }

    /// Adds the same one so many times.
    pub fn record_many(&mut self, took: Duration, count: u64) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX).max(1);
        self.0.saturating_record(nanos.min(LONGEST_NS));
        if count > 1 {
            // Within the bounds, so that it cannot fail.
            let _ = self.0.record_n(nanos.min(LONGEST_NS), count - 1);
        }
    }

    /// Adds all of the others.
    pub fn merge(&mut self, others: &Self) {
        // Both have the same bounds, so that it cannot fail.
        let _ = self.0.add(&others.0);
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// What this share of them took at most, in microseconds; 0 of none.
    #[must_use]
    pub fn at(&self, share: f64) -> f64 {
        if self.0.is_empty() { 0.0 } else { micros(self.0.value_at_quantile(share)) }
    }

    /// The figures.
    #[must_use]
    pub fn quantiles(&self) -> Quantiles {
        if self.0.is_empty() {
            return Quantiles::default();
        }
        Quantiles {
            count: self.count(),
            min_us: micros(self.0.min()),
            p50_us: self.at(0.5),
            p90_us: self.at(0.9),
            p99_us: self.at(0.99),
            p99_9_us: self.at(0.999),
            max_us: micros(self.0.max()),
        }
    }

    /// The curve of quantiles, finer towards the tail, up to the last share that a single one of them decides.
    #[must_use]
    pub fn curve(&self) -> Vec<Point> {
        let mut points = Vec::new();
        let count = self.count();
        for step in 0..CURVE {
            // Twenty steps for each further nine.
            let rest = 10f64.powf(-f64::from(step) / 20.0);
            #[expect(clippy::cast_precision_loss, reason = "fewer than 2^52")]
            let is_decided = rest * count as f64 >= 1.0;
            if !is_decided {
                break;
            }
            points.push(Point { share: 1.0 - rest, us: self.at(1.0 - rest) });
        }
        points
    }
}

/// Steps of the longest curve: six nines.
const CURVE: u32 = 121;

/// Nanoseconds as microseconds, to a tenth.
fn micros(nanos: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "at most two minutes")]
    let tenths = (nanos as f64 / 100.0).round();
    tenths / 10.0
}
