//! How many instances one engine has at once: its pool counts components and modules apart. Must never let one in beyond
//! what it is made for, nor keep a place that nobody has.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

/// Places beside those for calls.
pub(in crate::engine) const SPARE: u32 = 1;

/// Places for instances.
#[derive(Debug)]
pub(super) struct Seats {
    taken: AtomicU32,
    most: u32,
    /// Whether the place is taken that is kept for those that no call waits for.
    spare_taken: AtomicBool,
}

/// The place of one instance, until it is dropped.
#[derive(Debug)]
pub(in crate::engine) struct Seat {
    seats: Arc<Seats>,
    spare: bool,
}

impl Seats {
    /// So many, and [`SPARE`].
    pub(super) fn new(most: u32) -> Arc<Self> {
        Arc::new(Self { taken: AtomicU32::new(0), most, spare_taken: AtomicBool::new(false) })
    }

    /// A place, if there is one.
    pub(super) fn take(self: &Arc<Self>) -> Option<Seat> {
        let taken =
            self.taken.fetch_update(Relaxed, Relaxed, |taken| (taken < self.most).then_some(taken + 1));
        taken.is_ok().then(|| Seat { seats: self.clone(), spare: false })
    }

    /// A place that no call could have had, if nobody has it, or else any.
    pub(super) fn take_spare(self: &Arc<Self>) -> Option<Seat> {
        if self.spare_taken.swap(true, Relaxed) {
            return self.take();
        }
        Some(Seat { seats: self.clone(), spare: true })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.spare {
            self.seats.spare_taken.store(false, Relaxed);
        } else {
            self.seats.taken.fetch_sub(1, Relaxed);
        }
    }
}
