//! From what happened to each of the victim's requests to the figures of a row.
//! Must never look at a request's phase by when it was answered: it belongs to when it was due.

use std::time::Duration;

use serde::Serialize;

use crate::open_loop::Sample;
use crate::phase::{Phase, between};
use crate::stats;

/// When what happened, since the start of the victim's load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// From here the victim is undisturbed, and measured.
    pub(crate) begin: Duration,
    pub(crate) abuse: Duration,
    pub(crate) stop: Duration,
    pub(crate) end: Duration,
}

/// A row's figures.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Phases {
    pub(crate) undisturbed: Phase,
    pub(crate) abuse: Phase,
    pub(crate) recovery: Phase,
    /// The p99 under abuse over the undisturbed one.
    pub(crate) ratio: f64,
    /// From the end of the abuse until the p99 of what follows is what the bar allows; none if it never was.
    pub(crate) back_ms: Option<u64>,
}

/// The bar: so many times the undisturbed p99.
pub(crate) const BAR: f64 = 2.0;
/// How much of what follows must be good, and how finely that is looked for.
const WINDOW: Duration = Duration::from_millis(500);
const STEP: Duration = Duration::from_millis(25);

impl Phases {
    /// Of samples in the order in which they were due.
    pub(crate) fn of(samples: &[Sample], times: Times) -> Self {
        let undisturbed = Phase::of(between(samples, times.begin, times.abuse));
        let limit = undisturbed.p99 * BAR;
        let mut from = times.stop;
        let mut back_ms = None;
        while back_ms.is_none() && from + WINDOW <= times.end {
            let window = Phase::of(between(samples, from, from + WINDOW));
            if window.errors == 0 && window.p99 <= limit {
                back_ms = u64::try_from(from.saturating_sub(times.stop).as_millis()).ok();
            }
            from += STEP;
        }
        let abuse = Phase::of(between(samples, times.abuse, times.stop));
        Self {
            undisturbed,
            abuse,
            ratio: abuse.p99 / undisturbed.p99.max(1e-9),
            recovery: Phase::of(between(samples, times.stop, times.end)),
            back_ms,
        }
    }

    /// Medians of many, of the ratio too; the errors of all.
    pub(crate) fn median(many: &[Self]) -> Self {
        let phase = |of: fn(&Self) -> Phase| Phase::median(&many.iter().map(of).collect::<Vec<_>>());
        // One that was never seen to come back is the last.
        let mut back: Vec<u64> = many.iter().map(|one| one.back_ms.unwrap_or(u64::MAX)).collect();
        back.sort_unstable();
        Self {
            undisturbed: phase(|one| one.undisturbed),
            abuse: phase(|one| one.abuse),
            recovery: phase(|one| one.recovery),
            ratio: stats::median(many.iter().map(|one| one.ratio)),
            back_ms: back.get(many.len() / 2).copied().filter(|ms| *ms != u64::MAX),
        }
    }

    pub(crate) fn errors(&self) -> usize {
        self.undisturbed.errors + self.abuse.errors + self.recovery.errors
    }

    pub(crate) fn meets_the_bar(&self) -> bool {
        self.errors() == 0 && self.ratio <= BAR && self.abuse.requests > 0
    }
}
