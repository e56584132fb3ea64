//! Whether anybody is answered: whoever gives way to those does so only while there are some. Pure, told how many were.
//! Must never take somebody who calls now and then for an audience. Whoever has not looked for long is told of all that time first.

#[cfg(test)]
mod tests;

use std::sync::Arc;

/// Tells how many requests were answered since the start.
pub type Answered = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Requests in a second from which on somebody is answered.
const SOMEBODY: u128 = 100;
/// How often to look, in nanoseconds.
const LOOK_NS: u64 = 100_000_000;

/// Whether there is one, looked at now and then.
#[derive(Debug, Default)]
pub struct Audience {
    is_there: bool,
    looked_ns: u64,
    answered: u64,
}

/// Whether so many in so many nanoseconds are one.
#[must_use]
pub fn is_there(answered: u64, of_ns: u128) -> bool {
    u128::from(answered) * 1_000_000_000 >= SOMEBODY * of_ns.max(1)
}

impl Audience {
    /// Whether there is one, now.
    pub fn look(&mut self, now_ns: u64, answered: impl FnOnce() -> u64) -> bool {
        let of_ns = now_ns.saturating_sub(self.looked_ns);
        if of_ns >= LOOK_NS {
            let before = std::mem::replace(&mut self.answered, answered());
            self.is_there = is_there(self.answered.saturating_sub(before), of_ns.into());
            self.looked_ns = now_ns;
        }
        self.is_there
    }
}
