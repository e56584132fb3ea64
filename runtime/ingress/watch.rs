//! One look around each thread, twenty times a second while there is anything to see: calls past their deadline,
//! connections that idle, stall, drip, or whose client has left. One timer for all of them, none for each.
//! Must never do more than ask a flight to expire and a link to close.

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::time::Duration;

use tokio::sync::Notify;

use super::flight::Flight;
use crate::host::meter::now_ns;
use crate::model::limits::ServerLimits;
use crate::net::socket::Link;

/// How late a look may be: the bound on every timeout that the watch enforces.
pub const LOOK: Duration = Duration::from_millis(50);

/// What one thread watches.
#[derive(Default)]
pub struct Watch {
    flights: RefCell<Vec<Weak<Flight>>>,
    links: RefCell<Vec<Weak<Link>>>,
    something: Notify,
}

/// Milliseconds of the watch's clock; never zero, which means "not since any time".
#[must_use]
pub fn now_ms() -> u64 {
    now_ns() / 1_000_000 + 1
}

impl Watch {
    /// Watches a call that did not end at its first poll.
    pub fn flight(&self, flight: &Rc<Flight>) {
        self.flights.borrow_mut().push(Rc::downgrade(flight));
        self.something.notify_one();
    }

    /// Watches a connection.
    pub fn link(&self, link: &Rc<Link>) {
        self.links.borrow_mut().push(Rc::downgrade(link));
        self.something.notify_one();
    }

    /// Asks every connection to end after what it is doing.
    pub fn close_all(&self) {
        for link in self.links.borrow().iter().filter_map(Weak::upgrade) {
            link.close();
        }
    }

    /// Looks around until the thread ends.
    pub async fn run(self: Rc<Self>, limits: ServerLimits) {
        loop {
            if self.flights.borrow().is_empty() && self.links.borrow().is_empty() {
                self.something.notified().await;
            }
            tokio::time::sleep(LOOK).await;
            let now = now_ns();
            self.flights.borrow_mut().retain(|flight| {
                let Some(flight) = flight.upgrade() else { return false };
                flight.expire(now);
                !flight.has_ended()
            });
            self.links.borrow_mut().retain(|link| {
                let Some(link) = link.upgrade() else { return false };
                if is_over(&link, now_ms(), &limits) {
                    link.cut();
                }
                true
            });
        }
    }
}

/// Whether a connection has had its time.
fn is_over(link: &Link, now: u64, limits: &ServerLimits) -> bool {
    let past = |since: u64, limit: u64| since != 0 && now.saturating_sub(since) > limit;
    if past(link.blocked_since_ms.get(), limits.write_stall_ms) {
        return true;
    }
    if link.running.get() > 0 {
        return link.client_left();
    }
    let quiet = link.quiet_since_ms.get();
    if !link.used.get() {
        return past(quiet, limits.header_read_ms);
    }
    // HTTP/2 sends frames that are no head between requests.
    let head = !link.http2.get() && past(link.head_since_ms.get(), limits.header_read_ms);
    head || past(quiet, limits.idle_ms)
}
