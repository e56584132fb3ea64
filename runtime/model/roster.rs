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

/// Time of slices, together, after which that is decided, in nanoseconds.
const WINDOW_NS: u64 = 20_000_000;
/// The yielding shift starves where it has less than this part of that time.
const STARVES: u64 = 20;
/// There is enough for all where the relief has more than this part of it.
const ENOUGH: u64 = 2;

/// Who is on, and how that has gone.
#[derive(Debug, Default)]
pub struct Roster {
    on: Shift,
    used_ns: u64,
    took_ns: u64,
}

impl Roster {
    /// Who is on.
    #[must_use]
    pub fn on(&self) -> Shift {
        self.on
    }

    /// A slice of this shift used so much CPU time and took so long.
    pub fn worked(&mut self, shift: Shift, used_ns: u64, took_ns: u64) {
        if shift != self.on {
            // It began before the last change.
            return;
        }
        self.used_ns = self.used_ns.saturating_add(used_ns);
        self.took_ns = self.took_ns.saturating_add(took_ns);
        if self.took_ns < WINDOW_NS {
            return;
        }
        let on = match self.on {
            Shift::Yielding if self.used_ns < self.took_ns / STARVES => Shift::Relief,
            Shift::Relief if self.used_ns > self.took_ns / ENOUGH => Shift::Yielding,
            same => same,
        };
        *self = Self { on, used_ns: 0, took_ns: 0 };
    }
}
