//! Whether a version's next call had better start in the heavy lane, from how those before it went.
//! Must never read a clock, and never cost a version whose calls are all short more than one load.

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Short calls in a row after which a version counts as light again: after one call that was heavy though it counted as
/// light, which may be the machine's doing, and after one that nobody expected to be short.
const DOUBT: u64 = 4;
const PROOF: u64 = 32;
/// Twice as many each time it surprises again, up to this many times doubled: one that is light at times only to be heavy
/// again is not believed.
const DOUBLED: u64 = 11;
/// Calls between two surprises that make the second one the first again, and up to which both are one.
const FORGIVEN: u64 = 4_096;
const ONE: u64 = 32;
/// Calls without a surprise after which a single one changes nothing: it is as likely the machine's doing, and a doubt
/// sends all calls that come before it is over to wait among heavy ones.
const PARDONED: u64 = 1_024;

/// What is known of one version. A call that is taken for light and is heavy holds up a thread; one that is taken for
/// heavy and is light costs a hop. So a new version has to show one short call first.
#[derive(Debug)]
pub struct Heaviness(AtomicU64);

/// What a call is expected to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Short.
    Light,
    /// That is not known: none has ended. What others that run the same code did is all there is to go by.
    New,
    /// That is not known: it surprised, which may have been the machine's doing.
    Doubtful,
    /// As heavy as those before it.
    Heavy,
}

/// The same, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    /// Short calls to go until it counts as light.
    to_go: u64,
    /// How often it surprised again.
    surprises: u64,
    /// Whether a call was heavy that was expected to be.
    known: bool,
    /// Calls there had been when it did last, as far as 32 bits tell; zero if it never did.
    at: u64,
}

const LOW: u64 = 0xffff_ffff;

impl State {
    const NEW: Self = Self { to_go: 1, surprises: 0, known: false, at: 0 };

    const fn pack(self) -> u64 {
        self.to_go | self.surprises << 24 | (self.known as u64) << 31 | self.at << 32
    }

    const fn unpack(bits: u64) -> Self {
        Self {
            to_go: bits & 0xff_ffff,
            surprises: bits >> 24 & 0x7f,
            known: bits >> 31 & 1 == 1,
            at: bits >> 32,
        }
    }

    fn after_surprise(self, calls: u64) -> Self {
        let (since, at) = (calls.wrapping_sub(self.at) & LOW, (calls & LOW).max(1));
        if self.to_go == 0 && since >= PARDONED {
            let surprises = if since < FORGIVEN { self.surprises } else { 0 };
            return Self { surprises, at, ..self };
        }
        let surprises = match since {
            0..ONE => self.surprises,
            ONE..FORGIVEN => (self.surprises + 1).min(DOUBLED),
            _ => 0,
        };
        let known = self.known && self.to_go > 0;
        Self { to_go: self.to_go.max(DOUBT << surprises), surprises, known, at }
    }
}

impl Default for Heaviness {
    fn default() -> Self {
        Self(AtomicU64::new(State::NEW.pack()))
    }
}

impl Heaviness {
    /// What the next call is expected to be.
    #[must_use]
    pub fn expected(&self) -> Expected {
        match State::unpack(self.0.load(Relaxed)) {
            State { to_go: 0, .. } => Expected::Light,
            State::NEW => Expected::New,
            State { known: false, .. } => Expected::Doubtful,
            State { known: true, .. } => Expected::Heavy,
        }
    }

    /// A call was short. Two at once may count as one. Returns whether it counts as light from now on and did not before.
    pub fn was_light(&self) -> bool {
        let seen = self.0.load(Relaxed);
        let to_go = State::unpack(seen).to_go;
        if to_go > 0 {
            self.0.store(seen - 1, Relaxed);
        }
        to_go == 1
    }

    /// A call that began as a heavy one was one.
    pub fn was_heavy(&self) {
        let seen = State::unpack(self.0.load(Relaxed));
        let to_go = seen.to_go.max(PROOF << seen.surprises);
        self.0.store(State { to_go, known: true, ..seen }.pack(), Relaxed);
    }

    /// A call that began as a light one was not, after so many calls in all.
    pub fn surprised(&self, calls: u64) {
        let seen = State::unpack(self.0.load(Relaxed));
        self.0.store(seen.after_surprise(calls).pack(), Relaxed);
    }
}
