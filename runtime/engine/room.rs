//! Room for instances on one thread, shared between tenants, and the short bounded wait of those who find none.
//! Must never be lost: whoever holds an instance holds its room, and dropping it lets the next one in.

#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::instance::Instance;
use super::party::{Parties, Party};
use super::pool::Taken;
use super::program::ProgramId;
use crate::host::account::{Account, Budget};
use crate::host::meter::now_ns;
use crate::model::share::{may_take, patience_ms};
use crate::model::turns::{Ticket, Turns};

/// Requests that wait on one thread, in all and of one tenant; more are refused at once.
const WAITING: (usize, usize) = (256, 64);

/// All room of one thread.
pub struct Rooms {
    most: u32,
    /// Instances that exist, wherever they are.
    live: Cell<u32>,
    /// Those of them that calls hold, or held and are yet to be dropped.
    busy: Cell<u32>,
    shares: RefCell<HashMap<*const Account, Rc<Share>>>,
    queue: RefCell<Turns<Line, Rc<Waiter>>>,
    parties: Rc<Parties>,
    /// When nobody waited, last; in milliseconds.
    empty_ms: Cell<u64>,
    budget: Arc<Budget>,
}

/// What one tenant holds of one thread.
pub struct Share {
    account: Arc<Account>,
    busy: Cell<u32>,
    party: Rc<Party>,
}

/// One instance's room.
pub struct Room {
    rooms: Rc<Rooms>,
    share: Rc<Share>,
    /// Whether a call has it; if not, it is only there until somebody needs it more.
    busy: bool,
}

/// Whose line it is.
struct Line(Rc<Share>);

impl PartialEq for Line {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

/// One who waits.
struct Waiter {
    program: ProgramId,
    share: Rc<Share>,
    given: RefCell<Option<Taken>>,
    waker: RefCell<Option<Waker>>,
}

impl Waiter {
    fn give(&self, taken: Taken) {
        *self.given.borrow_mut() = Some(taken);
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}

fn now_ms() -> u64 {
    now_ns() / 1_000_000
}

impl Rooms {
    /// Room for so many instances, with memory from this budget.
    #[must_use]
    pub fn new(most: u32, budget: Arc<Budget>) -> Rc<Self> {
        Rc::new(Self {
            most,
            live: Cell::new(0),
            busy: Cell::new(0),
            shares: RefCell::default(),
            queue: RefCell::new(Turns::new(WAITING)),
            parties: Rc::default(),
            empty_ms: Cell::new(0),
            budget,
        })
    }

    /// Who uses how much of the thread.
    #[must_use]
    pub fn parties(&self) -> &Rc<Parties> {
        &self.parties
    }

    /// Instances that exist.
    #[must_use]
    pub fn live(&self) -> u32 {
        self.live.get()
    }

    /// Whether there is none for one more instance, whoever's, unless some that nobody uses are given up.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.live.get() >= self.most
    }

    /// Whether calls hold half of all room.
    #[must_use]
    pub fn is_crowded(&self) -> bool {
        self.busy.get() > self.most / 2
    }

    /// Whether somebody waits.
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        !self.queue.borrow().is_empty()
    }

    /// What this tenant holds.
    #[must_use]
    pub fn share(&self, account: &Arc<Account>) -> Rc<Share> {
        let mut shares = self.shares.borrow_mut();
        let new = || {
            let party = self.parties.of(account);
            Rc::new(Share { account: account.clone(), busy: Cell::new(0), party })
        };
        shares.entry(Arc::as_ptr(account)).or_insert_with(new).clone()
    }

    /// Forgets tenants that have no program here any more.
    pub fn settle(&self) {
        self.shares.borrow_mut().retain(|_, share| Rc::strong_count(share) > 1);
        self.parties.settle();
    }

    /// Whether this tenant may have one more call: by its share of instances, and by that of memory.
    #[must_use]
    pub fn may(&self, share: &Share) -> bool {
        let free = self.most.saturating_sub(self.busy.get());
        let weight = share.account.quota.weight;
        may_take(share.busy.get().into(), free.into(), self.most.into(), weight) && share.account.may_spawn()
    }

    /// Room for the instance of a call. The caller has asked whether it may, and whether it is full.
    #[must_use]
    pub fn room(self: &Rc<Self>, share: &Rc<Share>) -> Room {
        let mut room = self.idle_room(share);
        room.engage();
        room
    }

    fn idle_room(self: &Rc<Self>, share: &Rc<Share>) -> Room {
        self.live.set(self.live.get() + 1);
        Room { rooms: self.clone(), share: share.clone(), busy: false }
    }

    /// Whether something may be made ahead: if a quarter of the room, and at least one place, is left for calls, and
    /// memory is not short.
    #[must_use]
    pub fn may_ahead(&self) -> bool {
        let room = self.live.get() < self.most - (self.most / 4).max(1);
        room && !self.is_awaited() && !self.is_short()
    }

    /// Whether memory is so short that nothing is kept that nobody uses.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.budget.is_short()
    }

    /// Room for an instance that is made ahead of any call.
    #[must_use]
    pub fn ahead(self: &Rc<Self>, share: &Rc<Share>) -> Room {
        self.idle_room(share)
    }

    /// Lets in whoever waits and may.
    fn serve(self: &Rc<Self>) {
        while !self.is_full() {
            let next = self.queue.borrow_mut().next(|Line(share)| self.may(share));
            let Some(waiter) = next else { return };
            self.mark_empty();
            waiter.give(Taken::Nothing(self.room(&waiter.share)));
        }
    }

    /// Gives an instance that could answer again to whoever waits for one of its program, and may.
    ///
    /// # Errors
    /// Nobody does: instance and room, which no call has any more.
    pub fn pass_on(
        &self,
        program: ProgramId,
        instance: Box<Instance>,
        mut room: Room,
    ) -> Result<(), (Box<Instance>, Room)> {
        room.rest();
        if !self.may(&room.share) {
            return Err((instance, room));
        }
        let first = self.queue.borrow_mut().first(|waiter| waiter.program == program);
        let Some(waiter) = first else { return Err((instance, room)) };
        self.mark_empty();
        room.engage();
        waiter.give(Taken::Reused(instance, room));
        Ok(())
    }

    fn mark_empty(&self) {
        if self.queue.borrow().is_empty() {
            self.empty_ms.set(now_ms());
        }
    }

    /// Waits a little for room, or for an instance of this program. Dropping the future leaves the line.
    pub async fn wait(self: &Rc<Self>, share: &Rc<Share>, program: ProgramId) -> Option<Taken> {
        self.mark_empty();
        let waiter = Rc::new(Waiter {
            program,
            share: share.clone(),
            given: RefCell::default(),
            waker: RefCell::default(),
        });
        let ticket = self.queue.borrow_mut().push(Line(share.clone()), waiter.clone())?;
        let patience = Duration::from_millis(patience_ms(now_ms(), self.empty_ms.get()));
        let waiting = Waiting { rooms: self.clone(), waiter, ticket };
        tokio::time::timeout(patience, waiting).await.ok()
    }
}

/// A place in a line.
struct Waiting {
    rooms: Rc<Rooms>,
    waiter: Rc<Waiter>,
    ticket: Ticket,
}

impl Future for Waiting {
    type Output = Taken;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Taken> {
        if let Some(taken) = self.waiter.given.borrow_mut().take() {
            return Poll::Ready(taken);
        }
        *self.waiter.waker.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let left = self.rooms.queue.borrow_mut().leave(self.ticket);
        if left.is_some() {
            self.rooms.mark_empty();
        }
        // What was given at the last moment goes to the next one.
        drop(self.waiter.given.borrow_mut().take());
    }
}

impl Share {
    /// Whether there is memory for one more instance of its tenant.
    #[must_use]
    pub fn has_memory(&self) -> bool {
        self.account.may_spawn()
    }
}

impl Room {
    /// A call has it now.
    pub fn engage(&mut self) {
        if !std::mem::replace(&mut self.busy, true) {
            self.rooms.busy.set(self.rooms.busy.get() + 1);
            self.share.busy.set(self.share.busy.get() + 1);
        }
    }

    /// See [`Parties::is_hogging`].
    #[must_use]
    pub fn is_hogged(&self, now_ns: u64) -> bool {
        self.rooms.parties.is_hogging(&self.share.party, now_ns)
    }

    /// Takes note of time that a guest of its tenant has used of the thread.
    pub fn charge(&self, used_ns: u64) {
        self.rooms.parties.charge_guest(&self.share.party, used_ns);
    }

    /// The same, of what a guest has used in the heavy lane.
    pub fn charge_elsewhere(&self, used_ns: u64) {
        self.share.party.charge_elsewhere(used_ns);
    }

    /// No call has it any more.
    pub fn rest(&mut self) {
        if std::mem::replace(&mut self.busy, false) {
            self.rooms.busy.set(self.rooms.busy.get().saturating_sub(1));
            self.share.busy.set(self.share.busy.get().saturating_sub(1));
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.rest();
        self.rooms.live.set(self.rooms.live.get().saturating_sub(1));
        if self.rooms.is_awaited() {
            self.rooms.serve();
        }
    }
}
