//! Whether a version's next call had better start in the heavy lane, from how those before it went.
//! Must never read a clock, and never cost a version whose calls are all short more than one load.

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Short calls in a row after which a version whose call was heavy counts as light again. Twice as many each time that
/// turns out wrong, up to this many times doubled: one that is light at times only to be heavy again is not believed.
const PROOF: u64 = 32;
const DOUBLED: u64 = 11;
/// Seconds without a surprise after which it starts again with the first.
const FORGIVEN_S: u64 = 60;

/// What is known of one version. A call that is taken for light and is heavy holds up a thread; one that is taken for
/// heavy and is light costs a hop. So a new version has to show one short call first.
#[derive(Debug)]
pub struct Heaviness(AtomicU64);

/// The same, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    /// Short calls to go until it counts as light.
    to_go: u64,
    /// How often it surprised.
    surprises: u64,
    /// When it did so last, in seconds.
    last_s: u64,
}

impl State {
    const fn pack(self) -> u64 {
        self.to_go | self.surprises << 24 | self.last_s << 32
    }

    const fn unpack(bits: u64) -> Self {
        Self { to_go: bits & 0xff_ffff, surprises: bits >> 24 & 0xff, last_s: bits >> 32 }
    }

    const fn after_heavy(self, now_s: u64) -> Self {
        let surprises = match self.to_go {
            // It was expected.
            1.. => self.surprises,
            0 if now_s.saturating_sub(self.last_s) > FORGIVEN_S => 0,
            0 if self.surprises < DOUBLED => self.surprises + 1,
            0 => DOUBLED,
        };
        let last_s = if self.to_go == 0 { now_s & 0xffff_ffff } else { self.last_s };
        Self { to_go: PROOF << surprises, surprises, last_s }
    }
}

impl Default for Heaviness {
    fn default() -> Self {
        Self(AtomicU64::new(State { to_go: 1, surprises: 0, last_s: 0 }.pack()))
    }
}

impl Heaviness {
    /// Whether the next call had better start in the heavy lane.
    #[must_use]
    pub fn is_heavy(&self) -> bool {
        State::unpack(self.0.load(Relaxed)).to_go > 0
    }

    /// A call was short. Two at once may count as one.
    pub fn was_light(&self) {
        let seen = self.0.load(Relaxed);
        if State::unpack(seen).to_go > 0 {
            self.0.store(seen - 1, Relaxed);
        }
    }

    /// A call was not, at this time in seconds.
    pub fn was_heavy(&self, now_s: u64) {
        let seen = State::unpack(self.0.load(Relaxed));
        self.0.store(seen.after_heavy(now_s).pack(), Relaxed);
    }
}
