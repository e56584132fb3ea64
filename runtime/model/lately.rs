//! How much there was of something lately: in the window that is under way and the one before. Told the time, in nanoseconds.
//! Must never remember more than that.

#[cfg(test)]
mod tests;

const WINDOW_NS: u64 = 50_000_000;

/// A sum over the last two windows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lately {
    window: u64,
    now: u64,
    before: u64,
}

impl Lately {
    /// There was so much more. Tells whether it is the first of its window.
    pub fn add(&mut self, more: u64, now_ns: u64) -> bool {
        *self = self.at(now_ns);
        let first = self.now == 0;
        self.now = self.now.saturating_add(more);
        first && more > 0
    }

    /// All of it.
    #[must_use]
    pub fn sum(self, now_ns: u64) -> u64 {
        let Self { now, before, .. } = self.at(now_ns);
        now.saturating_add(before)
    }

    /// That of the window that had more.
    #[must_use]
    pub fn most(self, now_ns: u64) -> u64 {
        let Self { now, before, .. } = self.at(now_ns);
        now.max(before)
    }

    fn at(self, now_ns: u64) -> Self {
        let window = now_ns / WINDOW_NS;
        match window.saturating_sub(self.window) {
            0 => self,
            1 => Self { window, now: 0, before: self.now },
            _ => Self { window, now: 0, before: 0 },
        }
    }
}
