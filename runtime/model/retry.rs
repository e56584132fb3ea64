//! How often a failed call may be tried again: a budget that grows with the calls that were made.
//! Must never let retries multiply a storm: they are a fifth of the calls at most, and a few at the start.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// What one retry costs; each call earns one.
const COST: u32 = 5;
/// What a budget starts with, in retries: a function that is called once an hour may be retried too.
const START: u32 = 4;
/// The most that is saved up, in retries: what was earned in a good hour must not be spent in a bad second.
const MOST: u32 = 20;

/// The retries that one version may still make.
#[derive(Debug)]
pub struct RetryBudget(AtomicU32);

impl Default for RetryBudget {
    fn default() -> Self {
        Self(AtomicU32::new(START * COST))
    }
}

impl RetryBudget {
    /// Notes a call that is no retry.
    pub fn earn(&self) {
        let more = |saved: u32| (saved < MOST * COST).then_some(saved + 1);
        // Full is as good as one more.
        let _ = self.0.fetch_update(Relaxed, Relaxed, more);
    }

    /// Takes one retry from the budget, if there is one.
    pub fn spend(&self) -> bool {
        self.0.fetch_update(Relaxed, Relaxed, |saved| saved.checked_sub(COST)).is_ok()
    }
}

#[cfg(test)]
mod tests;
