//! Through which one connection, and each of its streams, comes to its turns.
//! Must never charge a tenant for what another one's connection did.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::{Ticket, Turnstile};
use crate::engine::party::{Party, Standing};
use crate::host::account::Account;
use crate::host::meter::{at_most_ns, now_ns, thread_cpu_ns};
use crate::model::portion::Portion;
use crate::net::socket::READ;

/// What a turn may take and nobody asks the thread's own clock, which is a system call, in nanoseconds on the wall.
const UNASKED_NS: u64 = 50_000;

/// Through which one connection comes to its turns, or one stream of it.
pub struct Gate {
    pub(super) turnstile: Rc<Turnstile>,
    /// Whose function it called last.
    pub(super) party: RefCell<Rc<Party>>,
    /// Whether it is that one's turn.
    open: Cell<bool>,
    /// Whether a request has come: a connection's in that turn, a stream's at all.
    entered: Cell<bool>,
    /// Whether something is left for the next turn: another request, or more to read.
    more: Cell<bool>,
    pub(super) ticket: RefCell<Option<Rc<Ticket>>>,
    kind: Kind,
}

enum Kind {
    Connection(Course),
    /// Of this connection.
    Stream(Rc<Gate>),
}

/// What a connection has come to.
#[derive(Default)]
struct Course {
    /// Whether its requests come side by side, over HTTP/2: then they may be several tenants'.
    has_streams: Cell<bool>,
    /// The stream that is being polled.
    under_way: RefCell<Option<Rc<Gate>>>,
    /// Whether it is over: nobody waits for what is left of its streams.
    ended: Cell<bool>,
    portion: Cell<Portion>,
    /// What its streams took that waited for no turn, since its own last one, in nanoseconds.
    aside_ns: Cell<u64>,
}

/// A turn that has begun. Nobody counts what it takes where nobody else is.
pub struct Turn(Option<Counted>);

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
        Self::of(turnstile, turnstile.parties.strangers(), Kind::Connection(Course::default()))
    }

    fn of(turnstile: &Rc<Turnstile>, party: Rc<Party>, kind: Kind) -> Self {
        Self {
            turnstile: turnstile.clone(),
            party: RefCell::new(party),
            open: Cell::new(false),
            entered: Cell::new(false),
            more: Cell::new(false),
            ticket: RefCell::default(),
            kind,
        }
    }

    /// A stream of this connection, which has turns of its own until it is over: nobody else could tell when it goes on, nor what
    /// that takes.
    pub async fn stream<F: Future>(self: Rc<Self>, stream: F) -> F::Output {
        let party = self.party.borrow().clone();
        let gate = Rc::new(Self::of(&self.turnstile, party, Kind::Stream(self.clone())));
        let mut stream = pin!(Some(stream));
        poll_fn(|cx| {
            let Some(turn) = gate.opens(cx) else { return Poll::Pending };
            self.goes_on(Some(gate.clone()));
            let polled = match stream.as_mut().as_pin_mut() {
                Some(stream) => stream.poll(cx),
                None => Poll::Pending,
            };
            if polled.is_ready() {
                // Clearing it up is part of its turn.
                stream.set(None);
            }
            self.goes_on(None);
            gate.closes(&turn);
            polled
        })
        .await
    }

    fn goes_on(&self, stream: Option<Rc<Self>>) {
        if let Kind::Connection(course) = &self.kind {
            *course.under_way.borrow_mut() = stream;
        }
    }

    /// A request of this connection is for a function of this tenant. Goes on when it is its turn; tells whether that was
    /// not at once.
    pub async fn enters(&self, account: &Arc<Account>) -> bool {
        let Some(stream) = self.under_way() else { return self.comes(account).await };
        if let Kind::Connection(course) = &self.kind {
            // A connection that may be many tenants': none is charged for the others' frames.
            let new = !course.has_streams.replace(true);
            if !self.party.borrow().is_of(account) {
                let parties = &self.turnstile.parties;
                *self.party.borrow_mut() = if new { parties.of(account) } else { parties.mixed() };
            }
        }
        stream.comes(account).await
    }

    /// The stream that is being polled.
    fn under_way(&self) -> Option<Rc<Self>> {
        match &self.kind {
            Kind::Connection(course) => course.under_way.borrow().clone(),
            Kind::Stream(_) => None,
        }
    }

    async fn comes(&self, account: &Arc<Account>) -> bool {
        let known = self.party.borrow().is_of(account);
        let (connection, stream) = (self.connection(), self.is_stream());
        let first = !connection.entered.replace(true);
        if known && !stream && self.open.get() && first {
            return false;
        }
        self.entered.set(true);
        let parties = &self.turnstile.parties;
        let party = parties.of(account);
        let standing = parties.standing(&party, now_ns());
        *self.party.borrow_mut() = party;
        // Requests that came at once are not answered at once where others are.
        let more = !first && standing != Standing::Alone;
        let waits = match standing {
            Standing::Greedy => more || stream || !known,
            _ => more || self.streams_wait(standing),
        };
        if waits {
            self.more.set(more);
            // The next turn, which is its new party's.
            let mut again = false;
            poll_fn(|cx| {
                if std::mem::replace(&mut again, true) {
                    return Poll::Ready(());
                }
                cx.waker().wake_by_ref();
                Poll::Pending
            })
            .await;
            connection.entered.set(true);
        }
        waits
    }

    /// A request of this connection is for nobody's function.
    pub fn is_lost(&self) {
        let lost = self.turnstile.parties.lost();
        match &self.kind {
            Kind::Connection(course) if course.has_streams.get() => {}
            _ => *self.party.borrow_mut() = lost.clone(),
        }
        if let Some(stream) = self.under_way() {
            *stream.party.borrow_mut() = lost;
        }
    }

    fn is_stream(&self) -> bool {
        matches!(self.kind, Kind::Stream(_))
    }

    fn connection(&self) -> &Self {
        match &self.kind {
            Kind::Stream(connection) => connection,
            Kind::Connection(_) => self,
        }
    }

    /// The connection is over.
    pub fn ends(&self) {
        if let Kind::Connection(course) = &self.kind {
            course.ended.set(true);
        }
    }

    /// Whether a stream waits for its turn where others are there. Many may have been woken at once: by the end of their connection,
    /// or by whatever took all of them the same time. Each alone is too short to tell.
    fn streams_wait(&self, standing: Standing) -> bool {
        let Kind::Stream(connection) = &self.kind else { return false };
        let ended = matches!(&connection.kind, Kind::Connection(course) if course.ended.get());
        standing == Standing::NearlyGreedy || standing == Standing::Modest && ended
    }

    /// Bytes that this connection may read in a turn, one that speaks HTTP/2 or not.
    #[must_use]
    pub fn may_read(&self, turn: &Turn, http2: bool) -> usize {
        match (&turn.0, http2, &self.kind) {
            (Some(_), true, Kind::Connection(course)) => course.portion.get().bytes(),
            (Some(_), ..) => READ,
            (None, ..) => usize::MAX,
        }
    }

    /// A stream of it took so long without a turn of its own.
    fn has_aside(&self, took_ns: u64) {
        if let Kind::Connection(course) = &self.kind {
            course.aside_ns.set(course.aside_ns.get().saturating_add(took_ns));
        }
    }

    /// Takes note of how long the last turn took, and whether all was read in it that might be.
    pub fn has_read(&self, took_ns: u64, all: bool) {
        if let Kind::Connection(course) = &self.kind {
            let mut portion = course.portion.get();
            portion.took(took_ns, all);
            course.portion.set(portion);
        }
        if all {
            // There is more, for another turn.
            self.more.set(true);
        }
    }

    /// Its turn, if it may go on now; else its task is woken when it may.
    pub fn opens(&self, cx: &mut Context<'_>) -> Option<Turn> {
        let (party, parties) = (self.party.borrow(), &self.turnstile.parties);
        let mut began_ns = now_ns();
        let standing = parties.standing(&party, began_ns);
        // Whose a stream is, it has yet to say; and whether its client wants the answer still, is seen when it has been asked for.
        let is_unknown = self.is_stream() && !self.entered.get();
        // Whoever is new comes after those who are at it already. Streams of one that is new have come with it.
        let is_new = standing != Standing::Alone && !self.is_stream() && parties.are_strangers(&party);
        let more = standing != Standing::Alone && self.more.get();
        let waits =
            !is_unknown && (is_new || more || standing == Standing::Greedy || self.streams_wait(standing));
        if !self.passes((&party, waits), now_ns, cx) {
            return None;
        }
        if waits {
            // Others' answers left first, which is not its doing.
            began_ns = now_ns();
        }
        self.open.set(true);
        if !self.is_stream() {
            self.entered.set(false);
        }
        self.more.set(false);
        let counted = (standing != Standing::Alone).then(|| Counted {
            began_ns,
            // A stream's are many, and short.
            own_clock: (standing != Standing::Modest && !self.is_stream()).then(thread_cpu_ns),
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

    /// The turn is over: its party is charged what it took and nobody has been charged for yet. Returns what it took in all, in
    /// nanoseconds, or zero if nobody has counted it. To the turnstile a connection's took as much longer as its streams did besides.
    pub fn closes(&self, turn: &Turn) -> u64 {
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
        match (&self.kind, self.ticket.take()) {
            (Kind::Connection(course), ticket) => {
                let aside_ns = course.aside_ns.take();
                if let Some(ticket) = ticket {
                    ticket.over.set(Some(took_ns + aside_ns));
                }
            }
            (Kind::Stream(_), Some(ticket)) => ticket.over.set(Some(took_ns)),
            (Kind::Stream(connection), None) => connection.has_aside(took_ns),
        }
        took_ns
    }
}
