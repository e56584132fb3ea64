//! How many ready instances one thread keeps of one program: pure, told the time and what happened.
//! Must never be asked whether there is room; that is the shelf's to know.

#[cfg(test)]
mod tests;

/// A program not called for this long starts to lose its ready instances.
const IDLE_MS: u64 = 10_000;

/// A call sooner than this after the one before may expect a ready instance. One that is called less often pays for its
/// instance when it comes: made ahead, it would hold a slot and memory for longer than all its calls together, and with
/// thousands of such programs most would go as they came.
const SOON_MS: u64 = 1_000;

/// How calls follow each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    last_call_ms: Option<u64>,
    /// Whether that came soon after the one before.
    soon: bool,
}

/// The demand for ready instances of one program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizing {
    target: u32,
    most: u32,
    pace: Pace,
    failing: bool,
}

impl Pace {
    /// A call came.
    pub fn called(&mut self, now_ms: u64) {
        self.soon = self.is_within(SOON_MS, now_ms);
        self.last_call_ms = Some(now_ms);
    }

    /// Whether they come so often that what a call leaves is worth keeping for the next one.
    #[must_use]
    pub fn is_frequent(&self) -> bool {
        self.soon
    }

    /// Whether the last one was so long ago that the next one is not near.
    #[must_use]
    pub fn is_past(&self, now_ms: u64) -> bool {
        !self.is_within(SOON_MS, now_ms)
    }

    /// Whether there was a call within so long.
    fn is_within(&self, ms: u64, now_ms: u64) -> bool {
        self.last_call_ms.is_some_and(|last| now_ms.saturating_sub(last) < ms)
    }
}

impl Sizing {
    /// Nobody has called yet, so nothing is kept. `most` bounds the target for good.
    #[must_use]
    pub fn new(most: u32) -> Self {
        Self { target: 0, most, pace: Pace::default(), failing: false }
    }

    /// A call came; `found` says whether a ready instance was there for it.
    pub fn called(&mut self, found: bool, now_ms: u64) {
        self.pace.called(now_ms);
        if !found && self.pace.is_frequent() {
            self.target = self.target.saturating_add(1).min(self.most);
        }
    }

    /// An instance was made ahead, or start-up failed: a guest that cannot start is not tried again ahead of
    /// a call until one of its calls has started it.
    pub fn spawned(&mut self, well: bool) {
        self.failing = !well;
    }

    /// What was ready was thrown away: the next call finds nothing.
    pub fn emptied(&mut self) {
        self.target = 0;
    }

    /// How many to keep ready now.
    #[must_use]
    pub fn target(&self) -> u32 {
        if self.failing { 0 } else { self.target }
    }

    /// Called about once a second: halves the target of an idle program. Returns whether there is nothing left to keep
    /// or to remember.
    pub fn settle(&mut self, now_ms: u64) -> bool {
        if !self.pace.is_within(IDLE_MS, now_ms) {
            self.target /= 2;
        }
        self.target == 0 && self.pace.is_past(now_ms)
    }
}
