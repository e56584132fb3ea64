//! The figures of a stretch of time, from what happened to each request that was due in it.
//! Must never leave a request out: one that failed has its time, too.

use std::time::Duration;

use serde::Serialize;

use super::open_loop::Sample;
use super::stats;

/// Latencies of one phase, in microseconds, counted from when each request was due.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Phase {
    pub(crate) requests: usize,
    pub(crate) errors: usize,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
    /// What of it was the client's own: see [`Sample::late`].
    pub(crate) late_p99: f64,
}

impl Phase {
    pub(crate) fn of(samples: &[Sample]) -> Self {
        let sorted = |of: fn(&Sample) -> Duration| {
            let mut times: Vec<Duration> = samples.iter().map(of).collect();
            times.sort_unstable();
            times
        };
        let (took, late) = (sorted(|sample| sample.took), sorted(|sample| sample.late));
        Self {
            requests: samples.len(),
            errors: samples.iter().filter(|sample| !sample.right).count(),
            p50: at(&took, 500),
            p99: at(&took, 990),
            p999: at(&took, 999),
            max: at(&took, 1_000),
            late_p99: at(&late, 990),
        }
    }
}

impl Phase {
    /// Medians of many, each figure for itself; the requests and errors of all.
    pub(crate) fn median(many: &[Self]) -> Self {
        let middle = |of: fn(&Self) -> f64| stats::median(many.iter().map(of));
        Self {
            requests: many.iter().map(|phase| phase.requests).sum(),
            errors: many.iter().map(|phase| phase.errors).sum(),
            p50: middle(|phase| phase.p50),
            p99: middle(|phase| phase.p99),
            p999: middle(|phase| phase.p999),
            max: middle(|phase| phase.max),
            late_p99: middle(|phase| phase.late_p99),
        }
    }
}

/// What was due in that time.
pub(crate) fn between(samples: &[Sample], from: Duration, to: Duration) -> &[Sample] {
    let place = |time| samples.partition_point(|sample| sample.due < time);
    &samples[place(from)..place(to)]
}

/// The nearest rank: so many of a thousand are not above it.
fn at(sorted: &[Duration], of_thousand: usize) -> f64 {
    let rank = (sorted.len() * of_thousand).div_ceil(1_000).max(1);
    sorted.get(rank - 1).map_or(0.0, |time| time.as_secs_f64() * 1e6)
}
