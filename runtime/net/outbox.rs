//! One thread's answers on their way out: those made in one turn of its queue leave together, so that a client that
//! sleeps is woken once and not once for each. Must never hold an answer beyond the turn, nor more than a few of them.

use std::cell::RefCell;
use std::rc::Rc;

use tokio::sync::Notify;

use super::socket::Link;

/// Connections with something to send, above which nothing is waited for.
const BATCH: usize = 8;

/// The connections of one thread that have something to send.
#[derive(Default)]
pub struct Outbox {
    waiting: RefCell<Vec<Rc<Link>>>,
    something: Notify,
}

impl Outbox {
    /// Has what this connection holds sent, at the latest when whatever is ready to run on this thread has run.
    pub fn add(&self, link: &Rc<Link>) {
        let mut waiting = self.waiting.borrow_mut();
        waiting.push(link.clone());
        let many = waiting.len();
        drop(waiting);
        if many >= BATCH {
            self.send();
        } else if many == 1 {
            self.something.notify_one();
        }
    }

    fn send(&self) {
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
