//! Where connections of tenants wait that have used more of their thread than others need put up with: a few go on, then
//! whatever else is ready and what came in meanwhile, and then the next. Of many such tenants the one that has used the least
//! goes first. Must never hold up anybody where nobody else is, nor leave the thread idle while somebody waits here.

mod gate;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use tokio::sync::Notify;

use crate::engine::party::{Parties, Party};
use crate::host::meter::{now_ns, thread_cpu_ns};
use crate::model::fair::Fair;
use crate::model::pace::Pace;
use crate::net::outbox::Outbox;
pub use gate::{Gate, Turn};

/// What a turn takes, about, in nanoseconds.
const TURN_NS: u64 = 40_000;

/// One thread's.
pub struct Turnstile {
    parties: Rc<Parties>,
    lines: RefCell<Fair<*const Party, Rc<Ticket>>>,
    something: Notify,
    round: Round,
    /// Those whose turn it is.
    under_way: Cell<usize>,
    /// Whoever clears up behind all of them.
    janitor: Rc<Party>,
    /// Answers that leave before the first turn of a round: nobody else's waits for those to be over.
    outbox: Rc<Outbox>,
}

/// Turns between two looks at what came in. How many go well is an estimate, and some take ten times as long as the one
/// before: the clock has the last word.
#[derive(Default)]
struct Round {
    /// What may go on in it, in nanoseconds.
    may_take_ns: Cell<u64>,
    /// Until when another turn may begin, once the first one has, in nanoseconds on this clock.
    until_ns: Cell<Option<u64>>,
}

/// One that waits, or goes on.
struct Ticket {
    party: Rc<Party>,
    passes: Cell<bool>,
    /// Whether its turn is over, and what it took.
    over: Cell<Option<u64>>,
    waker: RefCell<Waker>,
}

impl Turnstile {
    /// Nobody waits.
    #[must_use]
    pub fn new(parties: Rc<Parties>, outbox: Rc<Outbox>) -> Rc<Self> {
        let lines = RefCell::new(Fair::new(TURN_NS));
        Rc::new(Self {
            parties,
            lines,
            something: Notify::new(),
            round: Round::default(),
            under_way: Cell::new(0),
            janitor: Rc::default(),
            outbox,
        })
    }

    /// Lets one after the other go on until the thread ends.
    pub async fn run(self: Rc<Self>) {
        let (mut pace, mut under_way) = (Pace::default(), Vec::<Rc<Ticket>>::new());
        loop {
            self.round.begins(pace.round_ns());
            // Whose turn did not begin in the last one.
            for ticket in &under_way {
                ticket.waker.borrow().wake_by_ref();
            }
            while under_way.len() < pace.pieces() {
                let Some(ticket) = self.next() else { break };
                ticket.passes.set(true);
                ticket.waker.borrow().wake_by_ref();
                under_way.push(ticket);
            }
            self.under_way.set(under_way.len());
            if under_way.is_empty() {
                self.something.notified().await;
                continue;
            }
            // Not the time on the wall: while the thread does not run, nobody else has had any of it either.
            let began_ns = thread_cpu_ns();
            // Comes back when whatever is ready has run and the thread has looked for what came in, which then goes first.
            tokio::task::yield_now().await;
            let (mut done, mut used_ns) = (0, 0);
            under_way.retain(|ticket| {
                // Whoever has left wants no turn.
                let over = ticket.over.get().or((Rc::strong_count(ticket) == 1).then_some(0));
                if let Some(took) = over {
                    self.lines.borrow_mut().ends(&Rc::as_ptr(&ticket.party), took);
                    (done, used_ns) = (done + 1, used_ns + took);
                }
                over.is_none()
            });
            pace.went(done, used_ns, thread_cpu_ns().saturating_sub(began_ns));
        }
    }

    /// Whether the turn of this one begins now.
    fn admits(&self, ticket: &Ticket, now_ns: impl Fn() -> u64) -> bool {
        if !ticket.passes.get() {
            return false;
        }
        if self.round.is_fresh() {
            self.outbox.send();
        }
        self.round.admits(now_ns())
    }

    /// The next one that still wants to go on.
    fn next(&self) -> Option<Rc<Ticket>> {
        let mut lines = self.lines.borrow_mut();
        loop {
            let ticket = lines.take()?;
            if Rc::strong_count(&ticket) > 1 {
                return Some(ticket);
            }
            lines.ends(&Rc::as_ptr(&ticket.party), 0);
        }
    }

    fn push(&self, party: &Rc<Party>, waker: &Waker) -> Rc<Ticket> {
        let ticket = Rc::new(Ticket {
            party: party.clone(),
            passes: Cell::new(false),
            over: Cell::new(None),
            waker: RefCell::new(waker.clone()),
        });
        self.lines.borrow_mut().push((Rc::as_ptr(party), party.weight()), ticket.clone());
        self.something.notify_one();
        ticket
    }

    /// Goes on when whatever is ready has run, and where connections take turns in one of its own, so that nobody waits for both.
    /// It is over when what is returned is dropped.
    pub async fn sweeps(&self) -> Option<impl Drop + use<>> {
        if self.under_way.get() > 0 {
            let ticket = self.ticket(&self.janitor).await;
            // Those of this round, too.
            self.outbox.send();
            return Some(Sweep { ticket, began_ns: thread_cpu_ns() });
        }
        tokio::task::yield_now().await;
        None
    }

    /// A ticket whose turn has begun.
    async fn ticket(&self, party: &Rc<Party>) -> Rc<Ticket> {
        let mut ticket: Option<Rc<Ticket>> = None;
        poll_fn(|cx| match &ticket {
            Some(ticket) if self.admits(ticket, now_ns) => Poll::Ready(ticket.clone()),
            Some(ticket) => {
                ticket.waker.borrow_mut().clone_from(cx.waker());
                Poll::Pending
            }
            None => {
                ticket = Some(self.push(party, cx.waker()));
                Poll::Pending
            }
        })
        .await
    }
}

/// The turn of whoever clears up.
struct Sweep {
    ticket: Rc<Ticket>,
    /// By the thread's own clock.
    began_ns: u64,
}

impl Drop for Sweep {
    fn drop(&mut self) {
        self.ticket.over.set(Some(thread_cpu_ns().saturating_sub(self.began_ns)));
    }
}

impl Round {
    fn begins(&self, may_take_ns: u64) {
        self.may_take_ns.set(may_take_ns);
        self.until_ns.set(None);
    }

    /// Whether no turn has begun in it yet.
    fn is_fresh(&self) -> bool {
        self.until_ns.get().is_none()
    }

    /// Whether another turn may begin now; the first one of a round always may.
    fn admits(&self, now_ns: u64) -> bool {
        let Some(until_ns) = self.until_ns.get() else {
            self.until_ns.set(Some(now_ns.saturating_add(self.may_take_ns.get())));
            return true;
        };
        now_ns < until_ns
    }
}
