//! One thread's answers on their way out: those made in one turn of its queue leave together, so that a client that
//! sleeps is woken once and not once for each. Must never hold an answer beyond the turn, nor more than a few of them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::socket::Link;

/// Connections with something to send, above which nothing is waited for.
const BATCH: usize = 32;
/// How long the first of them waits for others, if the turn takes so long: where guests compute, few leave together.
const HOLD: Duration = Duration::from_micros(100);

/// The connections of one thread that have something to send.
#[derive(Default)]
pub struct Outbox {
    waiting: RefCell<Vec<Rc<Link>>>,
    /// When the first of them came.
    since: Cell<Option<Instant>>,
    something: Notify,
}

impl Outbox {
    /// Has what this connection holds sent, at the latest when whatever is ready to run on this thread has run.
    pub fn add(&self, link: &Rc<Link>) {
        let mut waiting = self.waiting.borrow_mut();
        waiting.push(link.clone());
        let many = waiting.len();
        drop(waiting);
        let now = Instant::now();
        if many == 1 {
            self.since.set(Some(now));
            self.something.notify_one();
        } else if many >= BATCH || self.since.get().is_some_and(|since| now.duration_since(since) >= HOLD) {
            self.send();
        }
    }

    /// Has everything sent that waits for the end of the turn.
    pub fn send(&self) {
        if self.waiting.borrow().is_empty() {
            return;
        }
        let waiting = std::mem::take(&mut *self.waiting.borrow_mut());
        for link in &waiting {
            link.send_held();
        }
        // The room is kept: this runs for every batch.
        let mut empty = waiting;
        empty.clear();
        *self.waiting.borrow_mut() = empty;
    }

    /// Sends until the thread ends.
    pub async fn run(self: Rc<Self>) {
        loop {
            self.something.notified().await;
            self.send();
        }
    }
}
