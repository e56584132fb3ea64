//! One look around each thread, twenty times a second while there is anything to see: calls past their deadline,
//! connections that idle, stall, drip, or whose client has left. One timer for all of them, none for each.
//! Must never do more than ask a flight to expire and a link to close.

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::flight::Flight;
use crate::host::meter::now_ns;
use crate::model::limits::ServerLimits;
use crate::net::shed::Shed;
use crate::net::socket::Link;

/// How late a look may be: the bound on every timeout that the watch enforces.
pub const LOOK: Duration = Duration::from_millis(50);

/// How long a thread has for its calls between two times that it is asked for places.
const BREATH: Duration = Duration::from_millis(5);
/// A connection that has been of use idles after this, in milliseconds.
const USED: u64 = 1_000;

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

    /// Closes connections that do nothing, as many as are asked for, until the thread ends.
    pub async fn shed(self: Rc<Self>, shed: Arc<Shed>) {
        loop {
            let many = shed.asked().await;
            let idle = self.idle(now_ms());
            idle.iter().take(many).for_each(|link| link.cut());
            let cut = many.min(idle.len());
            metrics::counter!("spawnpoint_connections_shed_total").increment(cut as u64);
            tokio::time::sleep(BREATH).await;
        }
    }

    /// The connections that do nothing, in the order in which they are to go.
    fn idle(&self, now: u64) -> Vec<Rc<Link>> {
        let links = self.links.borrow();
        let all = links.iter().filter_map(Weak::upgrade);
        let mut idle: Vec<_> = all.filter_map(|link| Some((idles(&link, now)?, link))).collect();
        idle.sort_by_key(|(idles, _)| *idles);
        idle.into_iter().map(|(_, link)| link).collect()
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

/// Whether a connection does nothing; and whether it ever did, and since when not: the least is to go first.
fn idles(link: &Link, now: u64) -> Option<(bool, u64)> {
    let (used, quiet) = (link.used.get(), link.quiet_since_ms.get());
    let idles = link.running.get() == 0 && !link.is_cut() && !(used && now.saturating_sub(quiet) < USED);
    idles.then_some((used, quiet))
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
