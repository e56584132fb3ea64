//! How far a call has come on its way through the heavy lane.
//! Must never be written but with the queue locked.

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering::Relaxed};

/// Where a call is on that way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It takes its first turns with whatever else is there.
    First = 0,
    /// It has had those, and waits until others of its function have ended.
    Waits = 1,
    /// It is one of the few that take turns until they end.
    Few = 2,
}

/// The stage of one call, and the turns it has had.
#[derive(Debug, Default)]
pub(super) struct Course {
    stage: AtomicU8,
    turns: AtomicU32,
}

impl Course {
    pub(super) fn stage(&self) -> Stage {
        match self.stage.load(Relaxed) {
            0 => Stage::First,
            1 => Stage::Waits,
            _ => Stage::Few,
        }
    }

    pub(super) fn comes_to(&self, stage: Stage) {
        self.stage.store(stage as u8, Relaxed);
    }

    /// It has had a turn. Tells how many it has had.
    pub(super) fn takes_turn(&self) -> u32 {
        self.turns.fetch_add(1, Relaxed).saturating_add(1)
    }
}
