//! Instances that wait to be put back. Must never give out one that was: it does not know which are.

use super::{Instance, Room};

/// Instances of one program that wait to be put back: more than that are at work at once only where calls take long.
const USED: usize = 64;

/// Instances that answered and are to be put back before they answer again; the last one that did is the first to be.
#[derive(Default)]
pub(super) struct Used {
    all: Vec<(Box<Instance>, Room)>,
    /// The fewest there were since this was last asked.
    least: usize,
}

impl Used {
    pub(super) fn push(&mut self, instance: Box<Instance>, room: Room) {
        self.all.push((instance, room));
    }

    pub(super) fn pop(&mut self) -> Option<(Box<Instance>, Room)> {
        let last = self.all.pop();
        self.least = self.least.min(self.all.len());
        last
    }

    /// Those that nobody has needed since this was last asked, the oldest.
    pub(super) fn spare(&mut self) -> impl Iterator<Item = (Box<Instance>, Room)> {
        let spare = self.least.min(self.all.len());
        self.least = self.all.len() - spare;
        self.all.drain(..spare)
    }

    /// Whether one more is worth keeping.
    pub(super) fn has_room(&self) -> bool {
        self.all.len() < USED
    }

    pub(super) fn all(&mut self) -> &mut Vec<(Box<Instance>, Room)> {
        &mut self.all
    }
}
