//! How many pieces of those that take turns are let go on at once, so that they have their part of a thread's time whatever
//! else is there. Must never let more go on than others would put up with, nor fewer than one.

#[cfg(test)]
mod tests;

/// Whoever takes turns has this part of the time that others use, all of them together.
const PART: u64 = 3;
/// What they are owed at most, in nanoseconds, besides their part of the time since the last look.
const MOST_NS: u64 = 60_000;
/// That part at most, in nanoseconds: a thread that was not scheduled for long has nothing to make good for.
const MOST_PART_NS: u64 = 200_000;
/// What of it may be taken between two looks, in nanoseconds, or their part of the last one if that is more: whoever comes meanwhile
/// waits for that. The rest is for after the next.
const AT_A_TIME_NS: u64 = 20_000;
/// Pieces at once, however short they are.
const AT_ONCE: usize = 8;

/// What is owed to those that take turns, on one thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "each is a time, and says its unit")]
pub struct Pace {
    owed_ns: u64,
    /// Their part of the last look.
    part_ns: u64,
    /// What a piece takes, from those before.
    piece_ns: u64,
}

impl Pace {
    /// How many go on next.
    #[must_use]
    pub fn pieces(self) -> usize {
        let owed = self.owed_ns.checked_div(self.piece_ns).unwrap_or(0);
        let begin = self.round_ns().checked_div(self.piece_ns).unwrap_or(0) + 1;
        usize::try_from(owed.min(begin)).unwrap_or(AT_ONCE).clamp(1, AT_ONCE)
    }

    /// In how much time another of them may begin, in nanoseconds, after the first has.
    #[must_use]
    pub fn round_ns(self) -> u64 {
        self.owed_ns.min(self.part_ns.max(AT_A_TIME_NS))
    }

    /// So many have been done, in so much time, while whatever else was ready was done in the rest of `all_ns`.
    pub fn went(&mut self, pieces: usize, used_ns: u64, all_ns: u64) {
        let part_ns = all_ns.saturating_sub(used_ns) / PART;
        self.part_ns = part_ns.min(MOST_PART_NS);
        self.owed_ns = (self.owed_ns + part_ns).saturating_sub(used_ns).min(MOST_NS + self.part_ns);
        if let Some(each) = used_ns.checked_div(pieces as u64) {
            self.piece_ns = if self.piece_ns == 0 { each } else { (self.piece_ns * 7 + each) / 8 };
        }
    }
}
