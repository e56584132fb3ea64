//! How long a thread that has nothing to do looks for more before it sleeps: pure, told how long each sleep was.
//! Must never look for longer than it was allowed, nor at all where the last sleep was long.

#[cfg(test)]
mod tests;

/// A sleep that was shorter than this many times what may be looked for was not worth it: waking up takes as long again.
const SHORT: u64 = 2;
/// Of what may be looked for, what is looked for after the first sleep that was too short.
const FIRST: u64 = 2;

/// Sleeps before it looks again after having looked in vain for as long as it may; twice as many each time, up to so many
/// times doubled.
const REST: u32 = 4;
const DOUBLED: u32 = 6;

/// How long one thread looks for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BusyPoll {
    most_ns: u64,
    window_ns: u64,
    /// Sleeps to go until it looks again.
    rest: u32,
    /// How often in a row it looked in vain.
    in_vain: u32,
}

impl BusyPoll {
    /// Looks for so many nanoseconds at most; not at all at first.
    #[must_use]
    pub fn new(most_ns: u64) -> Self {
        Self { most_ns, window_ns: 0, rest: 0, in_vain: 0 }
    }

    /// For how long to look now, in nanoseconds.
    #[must_use]
    pub fn window_ns(&self) -> u64 {
        self.window_ns
    }

    /// Something came while it looked.
    pub fn found(&mut self) {
        self.in_vain = 0;
    }

    /// The thread has slept, and something has come so many nanoseconds after what came before.
    pub fn slept(&mut self, gap_ns: u64) {
        if gap_ns > self.most_ns.saturating_mul(SHORT) {
            *self = Self::new(self.most_ns);
        } else if self.rest > 0 {
            self.rest -= 1;
        } else if self.window_ns > 0 && self.window_ns == self.most_ns {
            // They come soon, and not so soon.
            self.rest = REST << self.in_vain;
            self.in_vain = (self.in_vain + 1).min(DOUBLED);
            self.window_ns = 0;
        } else {
            self.window_ns = (self.window_ns * 2).max(self.most_ns / FIRST).min(self.most_ns);
        }
    }
}
