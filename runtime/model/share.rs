//! How one scarce thing is shared between tenants, and how long it is worth waiting for: numbers in, an answer out.
//! Must never know what is shared, nor remember anything between two questions.

#[cfg(test)]
mod tests;

/// A tenant may hold this many times what is free. Alone it gets four fifths of everything; with others each gets as
/// much as the others, and something stays free for whoever comes next.
const ALPHA: u64 = 4;

/// Where no more than one part in so many is free, a tenant may hold no more than is free: of those that come one after the
/// other and end nothing, each gets half of what is left, and not a fifth.
const SCARCE: u64 = 8;

/// One part in so many of what is taken by the byte is kept for tenants that hold little of it.
const KEPT: u64 = 16;
/// So many of those find room in it.
const NEWCOMERS: u64 = 8;
/// But each for one small instance, if there is that much.
const SMALL: u64 = 2 << 20;

/// How long a request waits where those before it did not have to stand for long.
pub const PATIENCE_MS: u64 = 100;
/// How long where requests have been standing for longer than [`INTERVAL_MS`]: there waiting helps nobody.
pub const STANDING_MS: u64 = 5;
/// A queue that was not empty for so long is a standing one.
pub const INTERVAL_MS: u64 = 100;

/// Whether a tenant that holds `own` may take one more while `free` of `all` are.
///
/// Who holds nothing takes whatever is there. Who holds something never takes the last: that is the newcomer's.
#[must_use]
pub fn may_take(own: u64, free: u64, all: u64, weight: u32) -> bool {
    if own == 0 {
        return free > 0;
    }
    let alpha = if free > all / SCARCE { ALPHA } else { 1 };
    own < free.saturating_sub(1).saturating_mul(alpha).saturating_mul(u64::from(weight.max(1)))
}

/// As [`may_take`], for something that is taken by the byte: whether a tenant may hold `own` of `all` if then `free` are left.
///
/// The last part of it is for those that hold little.
#[must_use]
pub fn may_grow(own: u64, free: u64, all: u64, weight: u32) -> bool {
    let kept = all / KEPT;
    let fair = free.saturating_mul(ALPHA).saturating_mul(u64::from(weight.max(1)));
    let little = (kept / NEWCOMERS).max(kept.min(SMALL));
    own <= little || free >= kept && own <= fair
}

/// How long a request waits that comes to a queue which was last seen empty then.
#[must_use]
pub fn patience_ms(now_ms: u64, empty_ms: u64) -> u64 {
    if now_ms.saturating_sub(empty_ms) > INTERVAL_MS { STANDING_MS } else { PATIENCE_MS }
}
