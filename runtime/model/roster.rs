//! Which threads go on with heavy calls: those that give way to whoever answers short ones, or, while those get next to
//! nothing of the cores, others that have a part of them whoever else is there. The clock of a thread against the one on the wall says which.
//! Must never change its mind over a moment.

#[cfg(test)]
mod tests;

/// Threads that are on together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shift {
    /// Those that give way.
    #[default]
    Yielding,
    /// Those with a part of the cores.
    Relief,
}

/// How long it goes on before that is decided, and what its slices take together until then at least, in nanoseconds.
const WINDOW_NS: u64 = 20_000_000;
/// The yielding shift starves where it has less than this part of what its slices take.
const STARVES: u64 = 20;
/// There is enough for all where the relief has more than this part of it.
const ENOUGH: u64 = 4;

/// What a thread did.
#[derive(Clone, Copy, Debug)]
pub struct Slice {
    /// CPU time, in nanoseconds.
    pub used_ns: u64,
    /// Time on the wall with what it waited for a core before, in nanoseconds.
    pub took_ns: u64,
    /// How many threads there were for each core: none can have more than its part.
    pub crowd: u64,
}

/// Who is on, and how that has gone.
#[derive(Debug, Default)]
pub struct Roster {
    on: Shift,
    since_ns: u64,
    used_ns: u64,
    took_ns: u64,
}

impl Roster {
    /// Who is on.
    #[must_use]
    pub fn on(&self) -> Shift {
        self.on
    }

    /// A slice of this shift has ended now, on a clock of nanoseconds. Tells whether somebody else is on from here on.
    pub fn worked(&mut self, shift: Shift, slice: Slice, now_ns: u64) -> bool {
        if shift != self.on {
            // It began before the last change.
            return false;
        }
        let used_ns = slice.used_ns.saturating_mul(slice.crowd.max(1)).min(slice.took_ns);
        self.used_ns = self.used_ns.saturating_add(used_ns);
        self.took_ns = self.took_ns.saturating_add(slice.took_ns);
        if now_ns.saturating_sub(self.since_ns) < WINDOW_NS || self.took_ns < WINDOW_NS {
            return false;
        }
        let on = match self.on {
            Shift::Yielding if self.used_ns < self.took_ns / STARVES => Shift::Relief,
            Shift::Relief if self.used_ns > self.took_ns / ENOUGH => Shift::Yielding,
            same => same,
        };
        *self = Self { on, since_ns: now_ns, used_ns: 0, took_ns: 0 };
        on != shift
    }
}
