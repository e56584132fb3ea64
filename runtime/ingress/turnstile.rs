//! Where connections of tenants wait that have used more of their thread than others need put up with: a few go on, then
//! whatever else is ready and what came in meanwhile, and then the next. Of many such tenants the one that has used the least
//! goes first. Must never hold up anybody where nobody else is, nor leave the thread idle while somebody waits here.

#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tokio::sync::Notify;

use crate::engine::party::{Parties, Party, Standing};
use crate::host::account::Account;
use crate::host::meter::{now_ns, thread_cpu_ns};
use crate::model::fair::Fair;
use crate::model::pace::Pace;
use crate::net::outbox::Outbox;
use crate::net::socket::{READ, READ_FRAMES};

/// What a turn takes, about, in nanoseconds.
const TURN_NS: u64 = 40_000;
/// What a turn counts for besides its guest at most where the thread's own clock, which is a system call, was not asked, in
/// nanoseconds. What took longer was not scheduled, or is soon asked about.
const UNASKED_NS: u64 = 50_000;

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

/// Through which one connection comes to its turns.
pub struct Gate {
    turnstile: Rc<Turnstile>,
    /// Whose function it called last.
    party: RefCell<Rc<Party>>,
    /// Whether it is that one's turn.
    open: Cell<bool>,
    /// Whether a request has come in that turn.
    entered: Cell<bool>,
    /// Whether another one waits for the next turn.
    more: Cell<bool>,
    /// Whether its requests come side by side, over HTTP/2: then they may be several tenants'.
    shared: Cell<bool>,
    ticket: RefCell<Option<Rc<Ticket>>>,
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
            let began_ns = now_ns();
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
            pace.went(done, used_ns, now_ns().saturating_sub(began_ns));
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
            return Some(Sweep { ticket, began_ns: now_ns() });
        }
        tokio::task::yield_now().await;
        None
    }

    /// Goes on when it is this party's turn: for what is not a connection's own doing, like one of many requests on it.
    async fn turn(&self, party: &Rc<Party>) {
        self.ticket(party).await.over.set(Some(TURN_NS));
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
    began_ns: u64,
}

impl Drop for Sweep {
    fn drop(&mut self) {
        self.ticket.over.set(Some(now_ns().saturating_sub(self.began_ns)));
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

    fn passes(
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
                None => now_ns().saturating_sub(turn.began_ns).saturating_sub(charged_ns).min(UNASKED_NS),
            };
            self.turnstile.parties.charge(&self.party.borrow(), rest_ns);
            took_ns = charged_ns + rest_ns;
        }
        if let Some(ticket) = self.ticket.take() {
            ticket.over.set(Some(took_ns));
        }
    }
}
