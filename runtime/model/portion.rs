//! How many bytes of HTTP/2 are read in one turn. A frame of twenty bytes may be a request, or refuse one, so that the same bytes may
//! take a hundred times as long as others. Must never be nothing.

#[cfg(test)]
mod tests;

/// What a turn may take before the next one is to be shorter, in nanoseconds, and what it takes at most if the next one may be
/// longer.
const LONG_NS: u64 = 40_000;
const SHORT_NS: u64 = 15_000;
/// Bytes: never more, as who has sent nothing but what is cheap may go on with what is not.
pub const LARGEST: usize = 2 * 1024;
/// Bytes of a connection of which nobody knows yet, too.
const SMALLEST: usize = 256;

/// One connection's.
#[derive(Clone, Copy, Debug)]
pub struct Portion(usize);

impl Default for Portion {
    fn default() -> Self {
        Self(SMALLEST)
    }
}

impl Portion {
    /// What may be read in the next turn.
    #[must_use]
    pub fn bytes(self) -> usize {
        self.0
    }

    /// The last turn took so long, in nanoseconds, and read all that it might, or less.
    pub fn took(&mut self, ns: u64, all: bool) {
        if ns > LONG_NS {
            self.0 = (self.0 / 2).max(SMALLEST);
        } else if all && ns < SHORT_NS {
            self.0 = (self.0 * 2).min(LARGEST);
        }
    }
}
