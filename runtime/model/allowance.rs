//! How much of one thread a tenant may use while others want it, too; and whether others do. Told the time, in nanoseconds.
//! Must never hold anybody back where nobody else is: a thread that one tenant has to itself is that tenant's.

#[cfg(test)]
mod tests;

/// A tenant may use this part of a thread for each of its weight.
const PART: u64 = 4;
/// What it may use at once after a pause.
const BURST_NS: u64 = 2_000_000;
/// What was used long ago, of a thread that nobody else wanted, say, is forgotten: no pause is longer.
const MOST_NS: u64 = 100_000_000;
/// Who was there so recently is there.
const RECENTLY_NS: u64 = 20_000_000;

/// What one tenant has used of one thread: until when it would have to pause to have used its part and no more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowance(u64);

/// Who was on one thread last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Company {
    /// The last one, and when.
    last: (usize, u64),
    /// When anybody else was there.
    other_ns: u64,
}

impl Allowance {
    /// Takes note of time that was used.
    pub fn charge(&mut self, used_ns: u64, now_ns: u64, weight: u32) {
        let due = used_ns.saturating_mul(PART) / u64::from(weight.max(1));
        self.0 = self.0.max(now_ns).saturating_add(due).min(now_ns.saturating_add(MOST_NS));
    }

    /// Whether more was used than others need put up with.
    #[must_use]
    pub fn is_spent(self, now_ns: u64, weight: u32) -> bool {
        self.0.saturating_sub(now_ns) > BURST_NS * PART / u64::from(weight.max(1))
    }

    /// Whether no more was used than its part.
    #[must_use]
    pub fn is_paid(self, now_ns: u64) -> bool {
        self.0 <= now_ns
    }

    /// Whether half as much was.
    #[must_use]
    pub fn is_half_spent(self, now_ns: u64, weight: u32) -> bool {
        self.0.saturating_sub(now_ns) > BURST_NS / 2 * PART / u64::from(weight.max(1))
    }
}

impl Company {
    /// Whether somebody is there.
    #[must_use]
    pub fn is_there(self, now_ns: u64) -> bool {
        self.last.1 > 0 && now_ns.saturating_sub(self.last.1) <= RECENTLY_NS
    }

    /// Somebody is there. Returns whether anybody else is.
    pub fn enters(&mut self, who: usize, now_ns: u64) -> bool {
        if self.last.0 != who {
            self.other_ns = self.last.1;
        }
        self.last = (who, now_ns);
        self.other_ns > 0 && now_ns.saturating_sub(self.other_ns) <= RECENTLY_NS
    }
}
