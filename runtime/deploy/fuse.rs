//! One version's breaker as all threads share it: a word to look at, and the state behind a lock for when it says more.
//! Must never cost a request of a version that is well more than a look at that word.

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use crate::model::breaker::{Breaker, Pass, Phase, Rules};

/// Nothing is remembered of this version but good.
const WELL: u8 = 0;
/// It failed lately: what goes well is counted too.
const TROUBLED: u8 = 1;
/// Not everybody is let in.
const OPEN: u8 = 2;

/// Among so many requests that go well one looks at the clock, so that trouble is forgotten.
const LOOK: u64 = 1_024;

/// One version's breaker.
#[derive(Debug)]
pub struct Fuse {
    word: AtomicU8,
    /// Requests that went well since the last failure.
    good: AtomicU64,
    /// Of a version that ever failed.
    breaker: OnceLock<Box<Mutex<Breaker>>>,
    rules: Rules,
}

impl Fuse {
    /// A closed one. With rules that say so it never opens.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self { word: AtomicU8::new(WELL), good: AtomicU64::new(0), breaker: OnceLock::new(), rules }
    }

    fn lock(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.get_or_init(Box::default).lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request wants in.
    ///
    /// # Errors
    /// When it may not: in how many milliseconds it is worth asking again.
    pub fn enter(&self, now_ns: u64) -> Result<Pass, u64> {
        if self.word.load(Relaxed) != OPEN {
            return Ok(Pass::Free);
        }
        self.lock().enter(&self.rules, ms(now_ns))
    }

    /// A request that was no probe went well. The clock is asked only now and then.
    pub fn went_well(&self, clock: fn() -> u64) {
        if self.word.load(Relaxed) != TROUBLED {
            return;
        }
        if self.good.fetch_add(1, Relaxed) % LOOK == LOOK - 1 {
            let mut breaker = self.lock();
            if breaker.calm(&self.rules, ms(clock())) {
                self.word.store(WELL, Relaxed);
            }
        }
    }

    /// A request that was no probe failed. Returns whether that was one too many.
    pub fn failed(&self, now_ns: u64) -> bool {
        if !self.rules.enabled {
            return false;
        }
        let mut breaker = self.lock();
        let opened = breaker.failed(&self.rules, ms(now_ns), self.good.swap(0, Relaxed));
        self.word.store(word(breaker.phase()), Relaxed);
        opened
    }

    /// The probe ended: well, not well, or without saying anything about the version.
    pub fn probed(&self, now_ns: u64, well: Option<bool>) {
        let mut breaker = self.lock();
        let closed = breaker.probed(&self.rules, ms(now_ns), well);
        self.good.store(0, Relaxed);
        self.word.store(if closed { WELL } else { word(breaker.phase()) }, Relaxed);
    }

    /// What it does with the next request.
    #[must_use]
    pub fn phase(&self) -> Phase {
        if self.word.load(Relaxed) == OPEN { self.lock().phase() } else { Phase::Closed }
    }
}

/// What the word says of a version that failed.
fn word(phase: Phase) -> u8 {
    match phase {
        Phase::Closed => TROUBLED,
        Phase::Open { .. } | Phase::Probing { .. } => OPEN,
    }
}

fn ms(ns: u64) -> u64 {
    ns / 1_000_000
}
