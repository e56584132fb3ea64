//! So many at once and no more, counted over all threads, with a short bounded wait for whoever comes too many.
//! Must never make anybody wait who was not one too many, nor take a lock to let one in.

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::time::Duration;

use tokio::sync::Notify;

use super::meter::now_ns;
use crate::model::share::patience_ms;

/// Requests that wait at one gate; more are refused at once.
const WAITING: u32 = 64;

/// Counts who is in.
#[derive(Debug, Default)]
pub struct Gate {
    inside: AtomicU32,
    waiting: AtomicU32,
    /// When nobody waited, last.
    empty_ms: AtomicU64,
    freed: Notify,
}

impl Gate {
    /// Goes in if fewer than `most` are.
    pub fn enter(&self, most: u32) -> bool {
        if self.inside.fetch_add(1, Relaxed) < most {
            return true;
        }
        // While it was counted somebody else may have found no room that there is.
        if self.inside.fetch_sub(1, SeqCst) <= most && self.waiting.load(SeqCst) > 0 {
            self.freed.notify_one();
        }
        false
    }

    /// Goes out. Whoever went in must.
    pub fn leave(&self) {
        // In one order with the waiter's own count, or it could sleep through this.
        self.inside.fetch_sub(1, SeqCst);
        if self.waiting.load(SeqCst) > 0 {
            self.freed.notify_one();
        }
    }

    /// How many are in.
    #[must_use]
    pub fn inside(&self) -> u32 {
        self.inside.load(Relaxed)
    }

    /// Waits a little to go in. Returns whether it did. Dropping the future leaves the queue.
    pub async fn wait(&self, most: u32) -> bool {
        let now_ms = now_ns() / 1_000_000;
        let before = self.waiting.fetch_add(1, SeqCst);
        let _place = Place(self);
        if before == 0 {
            self.empty_ms.store(now_ms, Relaxed);
        } else if before >= WAITING {
            return false;
        }
        let patience = Duration::from_millis(patience_ms(now_ms, self.empty_ms.load(Relaxed)));
        let entering = async {
            loop {
                let freed = self.freed.notified();
                if self.enter(most) {
                    return;
                }
                freed.await;
            }
        };
        tokio::time::timeout(patience, entering).await.is_ok()
    }
}

/// A place in the queue.
struct Place<'a>(&'a Gate);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.0.waiting.fetch_sub(1, SeqCst) == 1 {
            self.0.empty_ms.store(now_ns() / 1_000_000, Relaxed);
        }
    }
}
