//! Medians and quantiles of a few numbers. Must never average anything.

use serde::Serialize;

/// What many measurements of one thing came to.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Spread {
    pub(crate) count: usize,
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

/// The middle of the numbers; of two in the middle, the point between them. Zero for none.
pub(crate) fn median(numbers: impl IntoIterator<Item = f64>) -> f64 {
    let sorted = sorted(numbers);
    let middle = sorted.len() / 2;
    match (sorted.len() % 2, sorted.get(middle)) {
        (_, None) => 0.0,
        (0, Some(upper)) => f64::midpoint(sorted[middle - 1], *upper),
        (_, Some(middle)) => *middle,
    }
}

impl Spread {
    pub(crate) fn of(numbers: impl IntoIterator<Item = f64>) -> Self {
        let sorted = sorted(numbers);
        // The nearest rank: a number that was measured, and the largest one for few.
        let at = |percent: usize| {
            let rank = (sorted.len() * percent).div_ceil(100).max(1);
            sorted.get(rank - 1).copied().unwrap_or(0.0)
        };
        Self { count: sorted.len(), p50: at(50), p90: at(90), p99: at(99), max: at(100) }
    }
}

fn sorted(numbers: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut numbers: Vec<f64> = numbers.into_iter().collect();
    numbers.sort_by(f64::total_cmp);
    numbers
}
