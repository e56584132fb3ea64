//! How many instances one engine has at once: its pool counts components and modules apart. Must never let one in beyond
//! what it is made for, nor keep a place that nobody has.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Places for instances.
#[derive(Debug)]
pub(super) struct Seats {
    taken: AtomicU32,
    most: u32,
}

/// The place of one instance, until it is dropped.
#[derive(Debug)]
pub(in crate::engine) struct Seat(Arc<Seats>);

impl Seats {
    /// So many.
    pub(super) fn new(most: u32) -> Arc<Self> {
        Arc::new(Self { taken: AtomicU32::new(0), most })
    }

    /// A place, if there is one.
    pub(super) fn take(self: &Arc<Self>) -> Option<Seat> {
        let taken =
            self.taken.fetch_update(Relaxed, Relaxed, |taken| (taken < self.most).then_some(taken + 1));
        taken.is_ok().then(|| Seat(self.clone()))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Relaxed);
    }
}
