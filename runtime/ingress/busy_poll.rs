//! Looks for the next request for a moment before the thread sleeps, where the last ones came so soon that waking up took
//! longer than they did. Must never do so while a heavy call could use the core, nor without an end.

use std::cell::Cell;
use std::rc::Rc;

use tokio::sync::Notify;

use crate::engine::lanes::HeavyLane;
use crate::host::meter::now_ns;
use crate::model::busy_poll::BusyPoll;

/// What one thread has been asked.
#[derive(Default)]
pub struct Doorbell {
    rings: Cell<u64>,
    rung: Notify,
}

impl Doorbell {
    /// A request has come.
    pub fn ring(&self) {
        self.rings.set(self.rings.get().wrapping_add(1));
        self.rung.notify_one();
    }

    /// Looks for more after each request, for `most_ns` at most, until the thread ends.
    pub async fn busy_poll(self: Rc<Self>, most_ns: u64, heavy: HeavyLane) {
        if most_ns == 0 {
            return;
        }
        let mut poll = BusyPoll::new(most_ns);
        let (mut seen, mut last_ns) = (self.rings.get(), 0);
        loop {
            while self.rings.get() == seen {
                self.rung.notified().await;
            }
            let mut now = now_ns();
            poll.slept(now.saturating_sub(last_ns));
            (seen, last_ns) = (self.rings.get(), now);
            loop {
                if self.rings.get() != seen {
                    poll.found();
                    (seen, last_ns) = (self.rings.get(), now);
                }
                if now.saturating_sub(last_ns) >= poll.window_ns() || heavy.is_busy() {
                    break;
                }
                // Whatever is ready on this thread runs first, and then it looks for what came in.
                tokio::task::yield_now().await;
                now = now_ns();
            }
        }
    }
}
