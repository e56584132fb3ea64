//! One call in the air: its lease, its deadline, and who to wake. Shared by whoever polls it and by the watch.
//! Must never outlive its deadline by more than one look of the watch.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use http::Response;
use wasmtime_wasi_http::WasiBody;

use super::visit::Visit;
use crate::engine::lease::{End, Lease};
use crate::host::meter::Used;
use crate::host::notes::Notes;
use crate::model::outcome::{Outcome, Rejection, Start};
use crate::model::phase::GuestTimes;

/// One call, until its guest has ended or was ended.
pub struct Flight {
    state: RefCell<State>,
    deadline_ns: u64,
    /// How long it may take.
    allowed_ns: u64,
    /// Bytes of an answer that is too large: declared, or made so far.
    pub answer_bytes: Cell<u64>,
    /// Whether a piece of the answer was made and its client has not asked for more since.
    pub client_has_a_piece: Cell<bool>,
    /// Whether its version knows already how heavy it is.
    pub weighed: Cell<bool>,
    /// Whether it began in the heavy lane.
    pub began_heavy: bool,
    /// The account of the request, once its answer is under way.
    visit: RefCell<Option<Visit>>,
}

struct State {
    lease: Option<Lease>,
    /// Set when the guest has ended: how.
    ended: Option<Result<(), Outcome>>,
    waker: Option<Waker>,
    start: Start,
    /// Of a call that has ended: a reused instance takes its meter along to its next call.
    used: Used,
    notes: Notes,
}

/// Why there is no head.
pub enum NoHead {
    /// A guest ran and failed.
    Failed(Outcome),
    /// None ran.
    Rejected(Rejection),
}

impl Flight {
    /// Takes over a lease. `began_ns` is on the clock of `host::meter::now_ns`, `allowed_ns` how long it may take since then.
    #[must_use]
    pub fn new(lease: Lease, began_ns: u64, allowed_ns: u64) -> Rc<Self> {
        let (start, began_heavy) = (lease.start(), lease.began_heavy());
        let state = State {
            lease: Some(lease),
            ended: None,
            waker: None,
            start,
            used: Used::default(),
            notes: Notes::default(),
        };
        Rc::new(Self {
            state: RefCell::new(state),
            deadline_ns: began_ns.saturating_add(allowed_ns),
            allowed_ns,
            answer_bytes: Cell::new(0),
            client_has_a_piece: Cell::new(false),
            weighed: Cell::new(false),
            began_heavy,
            visit: RefCell::default(),
        })
    }

    /// Runs the guest until it has set a head, or ended without.
    pub fn poll_head(&self, cx: &mut Context<'_>) -> Poll<Result<Response<WasiBody>, NoHead>> {
        let state = &mut *self.state.borrow_mut();
        let end = state.poll(cx);
        if let Some(End::NoSlot) = end {
            return Poll::Ready(Err(NoHead::Rejected(Rejection::Overloaded)));
        }
        // A guest that failed after setting its head, but before any of it went out, has failed.
        if let Some(Err(outcome)) = &state.ended {
            return Poll::Ready(Err(NoHead::Failed(outcome.clone())));
        }
        let answer = state.lease.as_mut().and_then(|lease| lease.head(cx));
        match (answer, &state.ended) {
            (Some(Ok(response)), _) => Poll::Ready(Ok(response)),
            (Some(Err(code)), _) => {
                state.end(Err(Outcome::GuestError(code.clone())));
                Poll::Ready(Err(NoHead::Failed(Outcome::GuestError(code))))
            }
            (None, Some(_)) => Poll::Ready(Err(NoHead::Failed(Outcome::NoResponse))),
            (None, None) => Poll::Pending,
        }
    }

    /// Runs the guest on while its body is sent. Ready once it has ended.
    pub fn poll_end(&self, cx: &mut Context<'_>) -> Poll<Result<(), Outcome>> {
        let state = &mut *self.state.borrow_mut();
        state.poll(cx);
        state.ended.clone().map_or(Poll::Pending, Poll::Ready)
    }

    /// How the guest failed, as of its last poll.
    #[must_use]
    pub fn failure(&self) -> Option<Outcome> {
        self.state.borrow().ended.as_ref()?.as_ref().err().cloned()
    }

    /// Tells a 0.3 guest that its body has gone out.
    pub fn body_is_sent(&self) {
        if let Some(lease) = &mut self.state.borrow_mut().lease {
            lease.body_is_sent();
        }
    }

    /// Whether the guest waits for nothing, as of its last poll: it would go on if it had a thread to itself.
    #[must_use]
    pub fn is_computing(&self) -> bool {
        let state = self.state.borrow();
        state.ended.is_none() && state.lease.as_ref().is_some_and(Lease::is_computing)
    }

    /// Whether it began as a light call and is one no more.
    #[must_use]
    pub fn has_moved(&self) -> bool {
        self.state.borrow().lease.as_ref().is_some_and(Lease::has_moved)
    }

    /// Ends the guest if its time is up; or half of it, if it waits for others and has answered nothing. Called by the watch.
    pub fn expire(&self, now_ns: u64) {
        let half_ns = self.allowed_ns / 2;
        if now_ns.saturating_add(half_ns) < self.deadline_ns {
            return;
        }
        let Ok(mut state) = self.state.try_borrow_mut() else { return };
        let turns_ns = state.lease.as_ref().map_or(0, |lease| lease.meter().turns_ns());
        let stands =
            self.visit.borrow().is_none() && state.lease.as_ref().is_some_and(Lease::waits_for_others);
        if now_ns < self.deadline_ns && !stands {
            return;
        }
        let waited = stands || turns_ns > half_ns;
        let runs = state.ended.is_none();
        if runs {
            let for_body = state.lease.as_ref().is_some_and(|lease| lease.meter().waits_for_body());
            let client = for_body || self.client_has_a_piece.get();
            state.end(Err(if waited { Outcome::Overloaded } else { Outcome::Timeout { client } }));
            if let Some(waker) = state.waker.take() {
                waker.wake();
            }
        }
        let ended = state.ended.clone();
        drop(state);
        if let Some(Err(outcome)) = ended.filter(|_| runs) {
            // A client that takes nothing has nobody look for the end, and would keep a place.
            self.tell(&outcome);
        }
    }

    /// Keeps the account of the request until the answer ends.
    pub fn hold(&self, mut visit: Visit) {
        // That would keep this one.
        visit.flight = None;
        visit.streams = true;
        *self.visit.borrow_mut() = Some(visit);
    }

    /// Says how the answer ended, the first time.
    pub fn tell(&self, outcome: &Outcome) {
        let visit = self.visit.borrow_mut().take();
        if let Some(visit) = visit {
            visit.ends(&self.judge(outcome), Some(self));
        }
    }

    /// Ends the guest for a reason of the caller's.
    pub fn stop(&self, outcome: Outcome) {
        let state = &mut *self.state.borrow_mut();
        if state.ended.is_none() {
            state.end(Err(outcome));
        }
    }

    /// Whether the guest has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.state.borrow().ended.is_some()
    }

    /// How the instance came to be.
    #[must_use]
    pub fn start(&self) -> Start {
        self.state.borrow().start
    }

    /// When the guest's handler was called, and how long it has waited for its turns in the heavy lane.
    #[must_use]
    pub fn guest_times(&self) -> GuestTimes {
        let state = self.state.borrow();
        match &state.lease {
            Some(lease) if state.ended.is_none() => lease.meter().times(),
            _ => state.used.times,
        }
    }

    /// How the call ended, if the guest ended so. A guest that does not get over a body that broke off is not to blame for that, but for
    /// what it takes of its limits all the same.
    #[must_use]
    pub fn judge(&self, outcome: &Outcome) -> Outcome {
        match outcome {
            Outcome::Trapped(_)
            | Outcome::Timeout { .. }
            | Outcome::NoResponse
            | Outcome::BadResponse(_)
            | Outcome::GuestError(_)
                if self.used().body_broke =>
            {
                Outcome::BadRequest
            }
            other => other.clone(),
        }
    }

    /// What the call used so far.
    #[must_use]
    pub fn used(&self) -> Used {
        let state = self.state.borrow();
        match &state.lease {
            Some(lease) if state.ended.is_none() => lease.meter().used(),
            _ => state.used,
        }
    }

    /// What the guest printed and where it failed, which is forgotten.
    #[must_use]
    pub fn take_notes(&self) -> Notes {
        let state = &mut *self.state.borrow_mut();
        match &state.lease {
            Some(lease) if state.ended.is_none() => lease.meter().take_notes(),
            _ => std::mem::take(&mut state.notes),
        }
    }
}

impl State {
    fn poll(&mut self, cx: &mut Context<'_>) -> Option<End> {
        if self.ended.is_some() {
            return None;
        }
        let lease = self.lease.as_mut()?;
        let polled = lease.poll(cx);
        if polled.is_ready() {
            (self.used, self.notes) = (lease.meter().used(), lease.meter().take_notes());
        }
        match polled {
            Poll::Ready(End::Returned) if lease.meter().request_body_exceeded() => {
                self.ended = Some(Err(Outcome::PayloadTooLarge));
            }
            Poll::Ready(End::Returned) => self.ended = Some(Ok(())),
            Poll::Ready(End::Failed(outcome)) => self.ended = Some(Err(outcome)),
            Poll::Ready(End::NoSlot) => return Some(End::NoSlot),
            Poll::Pending if lease.meter().request_body_exceeded() => {
                self.end(Err(Outcome::PayloadTooLarge));
            }
            Poll::Pending => match &mut self.waker {
                Some(waker) => waker.clone_from(cx.waker()),
                None => self.waker = Some(cx.waker().clone()),
            },
        }
        None
    }

    /// Ends the guest: dropping the lease moves it to the bin.
    fn end(&mut self, how: Result<(), Outcome>) {
        if let Some(lease) = self.lease.take().filter(|_| self.ended.is_none()) {
            (self.used, self.notes) = (lease.meter().used(), lease.meter().take_notes());
        }
        self.ended = Some(how);
    }
}
