//! How long the phases of all requests took: histograms that one thread writes and whoever asks adds up.
//! Must never lock, allocate or look at a clock to record, nor have a label that grows with tenants or functions.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::text::{Seconds, Text};
use crate::model::outcome::Start;
use crate::model::phase::{Laps, Phase};

const PHASES: &str = "spawnpoint_request_phase_seconds";
const FIRST_BYTE: &str = "spawnpoint_request_first_byte_seconds";

/// The bound of the first bucket is two to this power, in nanoseconds: about a microsecond.
const FIRST: u32 = 10;
/// The same for the last one that has a bound: 34 seconds, more than a request may take by default.
const LAST: u32 = 35;
/// Buckets with a bound: two for each doubling.
const BOUNDS: usize = 2 * (LAST - FIRST) as usize + 1;

/// How an instance came to be, as a label; the last one is that there was none.
const STARTS: [&str; 6] = [
    Start::Cold.as_str(),
    Start::Spawned.as_str(),
    Start::Warm.as_str(),
    Start::Reset.as_str(),
    Start::Reused.as_str(),
    "none",
];

/// What one thread's requests took. Only that thread records.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Times([OfStart; STARTS.len()]);

#[derive(Debug, Default)]
struct OfStart {
    phases: [Histogram; Phase::ALL.len()],
    first_byte: Histogram,
}

#[derive(Debug)]
struct Histogram {
    sum_ns: AtomicU64,
    /// The last one has no bound.
    buckets: [AtomicU64; BOUNDS + 1],
}

impl Default for Histogram {
    fn default() -> Self {
        Self { sum_ns: AtomicU64::new(0), buckets: std::array::from_fn(|_| AtomicU64::new(0)) }
    }
}

/// The bucket of a time: the first one whose bound is not below it.
fn bucket(ns: u64) -> usize {
    // A bound belongs to its bucket, so that what is above it begins one later.
    let below = ns.saturating_sub(1);
    let power = below.checked_ilog2().unwrap_or(0);
    if power < FIRST {
        return 0;
    }
    let upper_half = (below >> (power - 1)) & 1;
    (2 * (power - FIRST) as usize + 1 + usize::from(upper_half == 1)).min(BOUNDS)
}

/// The most nanoseconds that are in a bucket; there is none for the last one.
fn bound(bucket: usize) -> u64 {
    let doublings = bucket / 2;
    let power = 1 << (FIRST as usize + doublings);
    if bucket.is_multiple_of(2) { power } else { power + power / 2 }
}

/// Adds to a number that only this thread writes, which takes no more than reading and writing it.
fn add(to: &AtomicU64, more: u64) {
    to.store(to.load(Relaxed).wrapping_add(more), Relaxed);
}

impl Histogram {
    fn record(&self, ns: u64) {
        add(&self.sum_ns, ns);
        if let Some(bucket) = self.buckets.get(bucket(ns)) {
            add(bucket, 1);
        }
    }
}

impl Times {
    /// Takes note of a request whose answer has a head now. `start` is `None` if no guest ran for it.
    pub fn record(&self, start: Option<Start>, laps: &Laps) {
        let place = start.map_or(STARTS.len() - 1, |start| start as usize);
        let Some(of_start) = self.0.get(place) else { return };
        for (histogram, ns) in of_start.phases.iter().zip(laps.all()) {
            if let Some(ns) = *ns {
                histogram.record(ns);
            }
        }
        of_start.first_byte.record(laps.total());
    }
}

/// How many requests of all threads were answered.
#[must_use]
pub fn answered(all: &[Arc<Times>]) -> u64 {
    let histograms = all.iter().flat_map(|times| &times.0).map(|of_start| &of_start.first_byte);
    histograms.flat_map(|histogram| &histogram.buckets).map(|bucket| bucket.load(Relaxed)).sum()
}

/// Writes down what the requests of all threads took. A kind that never occurred is left out.
pub fn write(all: &[Arc<Times>], text: &mut Text) {
    text.metric(
        PHASES,
        "histogram",
        "Where the time until an answer's head went, by phase and how its instance came to be",
    );
    for (place, start) in STARTS.into_iter().enumerate() {
        for phase in Phase::ALL {
            let of = all.iter().filter_map(|times| times.0.get(place)?.phases.get(phase as usize));
            write_one(PHASES, &[("phase", phase.as_str()), ("start", start)], of, text);
        }
    }
    text.metric(
        FIRST_BYTE,
        "histogram",
        "From a request's whole head to its answer's, all phases together, by how its instance came to be",
    );
    for (place, start) in STARTS.into_iter().enumerate() {
        let of = all.iter().filter_map(|times| Some(&times.0.get(place)?.first_byte));
        write_one(FIRST_BYTE, &[("start", start)], of, text);
    }
}

fn write_one<'a>(
    name: &str,
    labels: &[(&str, &str)],
    all: impl Iterator<Item = &'a Histogram>,
    text: &mut Text,
) {
    let (mut sum_ns, mut counts) = (0_u64, [0_u64; BOUNDS + 1]);
    for histogram in all {
        sum_ns = sum_ns.wrapping_add(histogram.sum_ns.load(Relaxed));
        for (count, bucket) in counts.iter_mut().zip(&histogram.buckets) {
            *count += bucket.load(Relaxed);
        }
    }
    // Of the buckets that were read just now: whatever is recorded meanwhile, the last one says the same.
    let count: u64 = counts.iter().sum();
    if count == 0 {
        return;
    }
    let (bucket, mut so_far) = (format!("{name}_bucket"), 0);
    let mut one = |le: &str, value: u64| text.sample(&bucket, &[labels, &[("le", le)]].concat(), value);
    for (place, count) in counts.iter().enumerate().take(BOUNDS) {
        so_far += count;
        one(&Seconds(bound(place)).to_string(), so_far);
    }
    one("+Inf", count);
    text.sample(&format!("{name}_sum"), labels, Seconds(sum_ns));
    text.sample(&format!("{name}_count"), labels, count);
}
