//! Through which one connection, and each of its requests, comes to its turns.
//! Must never charge a tenant for what another one's connection did.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::{Ticket, Turnstile};
use crate::engine::party::{Party, Standing};
use crate::host::account::Account;
use crate::host::meter::{at_most_ns, now_ns, thread_cpu_ns};
use crate::net::socket::{READ, READ_FRAMES};

/// What a request over HTTP/2 counts for besides its guest and its connection, in nanoseconds: its task is polled by nobody who
/// could look at a clock.
const STREAM_NS: u64 = 30_000;
/// What a turn may take and nobody asks the thread's own clock, which is a system call, in nanoseconds on the wall.
const UNASKED_NS: u64 = 50_000;

/// Through which one connection comes to its turns.
pub struct Gate {
    pub(super) turnstile: Rc<Turnstile>,
    /// Whose function it called last.
    pub(super) party: RefCell<Rc<Party>>,
    /// Whether it is that one's turn.
    open: Cell<bool>,
    /// Whether a request has come in that turn.
    entered: Cell<bool>,
    /// Whether another one waits for the next turn.
    more: Cell<bool>,
    /// Whether its requests come side by side, over HTTP/2: then they may be several tenants'.
    shared: Cell<bool>,
    pub(super) ticket: RefCell<Option<Rc<Ticket>>>,
}

/// A turn that has begun. Nobody counts what it takes where nobody else is.
pub struct Turn(Option<Counted>);

impl Turn {
    /// Bytes that its connection may read in it, one that speaks HTTP/2 or not.
    #[must_use]
    pub fn may_read(&self, http2: bool) -> usize {
        match (&self.0, http2) {
            (None, _) => usize::MAX,
            (Some(_), false) => READ,
            (Some(_), true) => READ_FRAMES,
        }
    }
}

struct Counted {
    began_ns: u64,
    /// What the thread's own clock said, in nanoseconds, if it matters what this turn takes.
    own_clock: Option<u64>,
    /// What had been charged to guests by then.
    charged_ns: u64,
}

impl Gate {
    /// Of a new connection.
    #[must_use]
    pub fn new(turnstile: &Rc<Turnstile>) -> Self {
        Self {
            turnstile: turnstile.clone(),
            party: RefCell::new(turnstile.parties.strangers()),
            open: Cell::new(false),
            entered: Cell::new(false),
            more: Cell::new(false),
            shared: Cell::new(false),
            ticket: RefCell::default(),
        }
    }

    /// A request of this connection is for a function of this tenant. Goes on when it is its turn; tells whether that was
    /// not at once.
    pub async fn enters(&self, account: &Arc<Account>, http2: bool) -> bool {
        let known = self.party.borrow().is_of(account);
        let first = !self.entered.replace(true);
        if known && self.open.get() && first {
            return false;
        }
        let parties = &self.turnstile.parties;
        let party = parties.of(account);
        let standing = parties.standing(&party, now_ns());
        let greedy = standing == Standing::Greedy;
        // Requests that came at once are not answered at once where others are.
        let more = !first && standing != Standing::Alone;
        if http2 {
            // A task of its own, of a connection that may be many tenants': none is charged for the others' frames.
            let new = !self.shared.replace(true);
            if !known {
                *self.party.borrow_mut() = if new { party.clone() } else { parties.mixed() };
            }
            let waits = greedy || more;
            if waits {
                self.turnstile.turn(&party).await;
            }
            parties.charge(&party, STREAM_NS);
            return waits;
        }
        *self.party.borrow_mut() = party;
        let waits = greedy && !known || more;
        if waits {
            self.more.set(more);
            // The connection's next turn, which is its new party's.
            let mut again = false;
            poll_fn(|cx| {
                if std::mem::replace(&mut again, true) {
                    return Poll::Ready(());
                }
                cx.waker().wake_by_ref();
                Poll::Pending
            })
            .await;
            self.entered.set(true);
        }
        waits
    }

    /// A request of this connection is for nobody's function.
    pub fn is_lost(&self) {
        if !self.shared.get() {
            *self.party.borrow_mut() = self.turnstile.parties.lost();
        }
    }

    /// The connection's turn, if it may go on now; else its task is woken when it may.
    pub fn opens(&self, cx: &mut Context<'_>) -> Option<Turn> {
        let (party, parties) = (self.party.borrow(), &self.turnstile.parties);
        let mut began_ns = now_ns();
        let standing = parties.standing(&party, began_ns);
        // Whoever is new comes after those who are at it already.
        let is_new = standing != Standing::Alone && parties.are_strangers(&party);
        let more = standing != Standing::Alone && self.more.get();
        let waits = is_new || more || standing == Standing::Greedy;
        if !self.passes((&party, waits), now_ns, cx) {
            return None;
        }
        if waits {
            // Others' answers left first, which is not its doing.
            began_ns = now_ns();
        }
        self.open.set(true);
        self.entered.set(false);
        self.more.set(false);
        let counted = (standing != Standing::Alone).then(|| Counted {
            began_ns,
            own_clock: (standing != Standing::Modest).then(thread_cpu_ns),
            charged_ns: parties.charged_ns(),
        });
        Some(Turn(counted))
    }

    pub(super) fn passes(
        &self,
        (party, greedy): (&Rc<Party>, bool),
        now_ns: impl Fn() -> u64,
        cx: &mut Context<'_>,
    ) -> bool {
        let mut ticket = self.ticket.borrow_mut();
        match &*ticket {
            Some(ticket) if self.turnstile.admits(ticket, now_ns) => true,
            // Dropped, it is passed over.
            _ if !greedy => {
                *ticket = None;
                true
            }
            Some(ticket) => {
                ticket.waker.borrow_mut().clone_from(cx.waker());
                false
            }
            None => {
                *ticket = Some(self.turnstile.push(party, cx.waker()));
                false
            }
        }
    }

    /// The turn is over: its party is charged what it took and nobody has been charged for yet.
    pub fn closes(&self, turn: &Turn) {
        self.open.set(false);
        let mut took_ns = 0;
        if let Some(turn) = &turn.0 {
            let charged_ns = self.turnstile.parties.charged_ns().saturating_sub(turn.charged_ns);
            let rest_ns = match turn.own_clock {
                Some(began) => thread_cpu_ns().saturating_sub(began).saturating_sub(charged_ns),
                None => match now_ns().saturating_sub(turn.began_ns).saturating_sub(charged_ns) {
                    short @ ..=UNASKED_NS => short,
                    // It may not have been scheduled.
                    long => at_most_ns(long),
                },
            };
            self.turnstile.parties.charge(&self.party.borrow(), rest_ns);
            took_ns = charged_ns + rest_ns;
        }
        if let Some(ticket) = self.ticket.take() {
            ticket.over.set(Some(took_ns));
        }
    }
}
