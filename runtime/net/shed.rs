//! Asking a thread for the places of connections that do nothing. Must never ask for more than there may be in a burst.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::sync::Notify;

/// How many places one thread is asked for.
#[derive(Debug)]
pub struct Shed {
    wanted: AtomicUsize,
    most: usize,
    asked: Notify,
}

impl Shed {
    /// Nothing is asked yet, and never more than so many at once.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { wanted: AtomicUsize::new(0), most, asked: Notify::new() }
    }

    /// Asks for one more.
    pub fn ask(&self) {
        if self.wanted.load(Relaxed) < self.most {
            self.wanted.fetch_add(1, Relaxed);
        }
        self.asked.notify_one();
    }

    /// Waits until some are asked for, and tells how many.
    pub async fn asked(&self) -> usize {
        self.asked.notified().await;
        self.wanted.swap(0, Relaxed)
    }
}
