//! The right to one instance, once: takes it from the shelf, runs one call, and leaves nothing behind.
//! Must never keep an instance that did not end cleanly.

use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Request;

use super::instance::{Answer, Call, Ended, Invocation};
use super::lanes::{Gone, Group};
use super::pool::{Shelf, Taken};
use super::program::{Program, ProgramId};
use super::room::Room;
use super::verdict;
use crate::host::meter::Meter;
use crate::model::outcome::{Outcome, Start};

/// What a call takes of its thread besides the guest: reading, routing, writing, in nanoseconds.
const REST_NS: u64 = 10_000;

/// One call on one instance. Dropping it ends the guest, off the request's path.
pub struct Lease {
    shelf: Rc<Shelf>,
    program: ProgramId,
    call: Option<Call>,
    room: Option<Room>,
    /// Told when the instance has ended in the heavy lane, unseen.
    gone: Option<Arc<Gone>>,
    /// Whether the call began on this thread and went on in the heavy lane.
    moved: bool,
    /// What its tenant has been charged, in nanoseconds.
    charged_ns: u64,
    meter: Arc<Meter>,
    max_requests: u32,
    group: Group,
    start: Start,
    ended: bool,
}

/// What a call is allowed.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// CPU time, in milliseconds.
    pub cpu_ms: u64,
    /// Calls one instance may answer.
    pub max_requests: u32,
    /// Whether the program was loaded from disk for this call.
    pub cold: bool,
    /// Whose turn the call takes in the heavy lane.
    pub group: Group,
    /// Whether it starts there.
    pub heavy: bool,
}

/// How a call ended.
pub enum End {
    /// The handler returned.
    Returned,
    /// It did not.
    Failed(Outcome),
    /// There was no slot for it after all.
    NoSlot,
}

impl Lease {
    /// The right to what was taken.
    pub fn new<B>(
        shelf: &Rc<Shelf>,
        program: &Arc<Program>,
        (taken, terms): (Taken, Terms),
        request: impl FnOnce(&Arc<Meter>) -> Request<B>,
    ) -> Self
    where
        B: http_body::Body<Data = bytes::Bytes, Error = wasmtime_wasi_http::Error> + Send + 'static,
    {
        let (instance, room, start) = match taken {
            Taken::Reused(instance, room) => {
                instance.meter().forgive();
                (Some(instance), room, Start::Reused)
            }
            Taken::Ready(instance, room) => (Some(instance), room, Start::Warm),
            Taken::Used(instance, room) => (Some(instance), room, Start::Reset),
            Taken::Nothing(room) if terms.cold => (None, room, Start::Cold),
            Taken::Nothing(room) => (None, room, Start::Spawned),
        };
        let meter = match &instance {
            Some(instance) => instance.meter().clone(),
            None => Arc::new(Meter::default()),
        };
        room.charge(REST_NS);
        let request = request(&meter);
        let invocation = Invocation { instance, request, cpu_ms: terms.cpu_ms, meter: meter.clone() };
        let mut call = Call::new(program.clone(), invocation);
        let gone = terms.heavy.then(|| {
            metrics::counter!("spawnpoint_heavy_calls_total", "when" => "start").increment(1);
            shelf.give_away(&mut call, terms.group)
        });
        Self {
            shelf: shelf.clone(),
            program: program.id,
            call: Some(call),
            room: Some(room),
            gone,
            moved: false,
            charged_ns: 0,
            meter,
            max_requests: terms.max_requests,
            group: terms.group,
            start,
            ended: false,
        }
    }

    /// Runs the guest until it waits, yields or ends. Pending for ever once it has ended.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let Some(call) = self.call.as_mut().filter(|_| !self.ended) else {
            return Poll::Pending;
        };
        let is_here = call.is_here();
        let polled = call.poll(cx, self.shelf.pulse());
        if is_here && let Some(room) = &self.room {
            let used_ns = self.meter.cpu_ns();
            room.charge(used_ns.saturating_sub(std::mem::replace(&mut self.charged_ns, used_ns)));
        }
        let Poll::Ready(ended) = polled else {
            if call.is_too_heavy() {
                self.gone = Some(self.shelf.give_away(call, self.group));
                self.moved = true;
                metrics::counter!("spawnpoint_heavy_calls_total", "when" => "later").increment(1);
                // Whoever waits for its end or its head is to be woken by the lane.
                return match call.poll(cx, self.shelf.pulse()) {
                    Poll::Ready(ended) => {
                        self.ended = true;
                        Poll::Ready(self.judge(ended))
                    }
                    Poll::Pending => Poll::Pending,
                };
            }
            return Poll::Pending;
        };
        self.ended = true;
        Poll::Ready(self.judge(ended))
    }

    fn judge(&mut self, ended: Ended) -> End {
        // Dropped where there is no instance that could keep it.
        let room = self.take_room();
        match ended {
            Ended::Cleanly(instance) => {
                if self.start == Start::Spawned || self.start == Start::Cold {
                    self.shelf.started(self.program);
                }
                match room {
                    Some(room) if instance.answered < self.max_requests && instance.is_over() => {
                        self.shelf.put_back(self.program, (instance, room), self.group);
                    }
                    Some(room) => self.shelf.retire(self.program, (instance, room), self.group),
                    None => drop(instance),
                }
                End::Returned
            }
            Ended::Failed(error, instance) => {
                if let Some(room) = room {
                    self.shelf.discard(instance, room, self.group);
                }
                End::Failed(verdict::of_error(&error, &self.meter))
            }
            Ended::NotSpawned(error) => {
                verdict::of_spawn(&error, &self.meter).map_or(End::NoSlot, End::Failed)
            }
            Ended::Panicked => {
                // The panic unwound through the store and took it along.
                End::Failed(Outcome::HostError("a host function panicked".to_owned()))
            }
        }
    }

    /// Its room, to be given to whatever is left of it. What it used in the heavy lane is charged at last.
    fn take_room(&mut self) -> Option<Room> {
        let room = self.room.take()?;
        room.charge_elsewhere(self.meter.cpu_ns().saturating_sub(self.charged_ns));
        Some(room)
    }

    /// The head, once the guest has set it.
    pub fn head(&mut self, cx: &mut Context<'_>) -> Option<Answer> {
        self.call.as_mut()?.head(cx)
    }

    /// Whether the guest waits for nothing: it would go on if it had a thread to itself.
    #[must_use]
    pub fn is_computing(&self) -> bool {
        !self.ended && self.call.as_ref().is_some_and(Call::is_computing)
    }

    /// Whether it waits in the heavy lane until others of its function have ended.
    #[must_use]
    pub fn waits_for_others(&self) -> bool {
        !self.ended && self.call.as_ref().is_some_and(Call::waits_for_others)
    }

    /// Tells a 0.3 guest that its body has gone out.
    pub fn body_is_sent(&mut self) {
        if let Some(call) = &mut self.call {
            call.body_is_sent();
        }
    }

    /// Whether the call began in the heavy lane.
    #[must_use]
    pub fn began_heavy(&self) -> bool {
        self.gone.is_some() && !self.moved
    }

    /// Whether the call began on this thread and went on in the heavy lane.
    #[must_use]
    pub fn has_moved(&self) -> bool {
        self.moved
    }

    /// How the instance came to be.
    #[must_use]
    pub fn start(&self) -> Start {
        self.start
    }

    /// The account of this call.
    #[must_use]
    pub fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let (Some(call), Some(room)) = (self.call.take(), self.take_room()) {
            self.shelf.abandon(call, room, self.gone.take());
        }
    }
}
