//! One live guest and one call of it: a single boxed future owns the store, so dropping it ends the guest.
//! Must never be used after anything but a clean end: a call consumes its instance and gives it back only then.

mod again;
mod ahead;
mod concurrent;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body_util::BodyExt;
use tokio::sync::oneshot;
use wasmtime::Store;
use wasmtime::component::Resource;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;
use wasmtime_wasi_http::p2::types::{HostIncomingRequest, HostResponseOutparam};
use wasmtime_wasi_http::p3;
use wasmtime_wasi_http::{WasiBody, WasiHttpView};

use super::lanes::{Given, Gone, Group, HEAVY_NS, HeavyLane, LIGHT_TICKS};
use super::program::{Code, Guest, Program, ProgramId, Seat, SpawnError};
use super::ticker::Pulse;
use crate::host::meter::Meter;
use crate::host::{HostState, lowered};
use crate::model::version::Handler;
pub(super) use again::Resetter;
pub use ahead::{Ahead, prove_ahead, reset_ahead, spawn_ahead};

/// One store with one guest in it.
pub struct Instance {
    pub(super) store: Store<HostState>,
    /// Its place, given back after the store has given back its slots.
    _seat: Seat,
    pub(super) guest: Guest,
    pub(super) meter: Arc<Meter>,
    /// What it runs.
    pub(super) code: Arc<Code>,
    /// Calls that ended cleanly since it was as new.
    pub answered: u32,
    /// Whether a call has left its traces in it.
    used: bool,
    /// What puts it back to how it was made, if that can be done.
    resetter: Option<Resetter>,
    /// Bytes of memories and tables that it began with.
    began_with: usize,
}

/// How a call ended, before anybody has looked at why.
pub enum Ended {
    /// The handler returned; the instance could answer again.
    Cleanly(Box<Instance>),
    /// The guest trapped, or a host function failed it; the wreck is to be thrown away off the request's path.
    Failed(wasmtime::Error, Box<Instance>),
    /// There was no instance to call.
    NotSpawned(SpawnError),
    /// A host function panicked.
    Panicked,
}

/// What the guest answered: a head with its body, or the name of an error code.
pub type Answer = Result<Response<WasiBody>, String>;

/// The part of a call that runs the guest. Owns the store; may go from thread to thread between polls.
pub struct Run {
    future: Pin<Box<dyn Future<Output = Ended> + Send>>,
    meter: Arc<Meter>,
    program: ProgramId,
    /// Whether the last poll ended at a tick: the guest would have gone on.
    interrupted: bool,
}

/// One call in progress.
pub struct Call {
    place: Place,
    meter: Arc<Meter>,
    head: Option<oneshot::Receiver<Answer>>,
    /// Dropped when the body has been sent: an 0.3 guest may run until then.
    body_sent: Option<oneshot::Sender<()>>,
}

/// Where the guest runs.
enum Place {
    /// On the thread that took the request.
    Light(Run),
    /// In the heavy lane.
    Heavy(Given),
    /// Nowhere any more.
    Over,
}

/// What a call leaves behind that was given up.
pub enum Remains {
    /// A guest that had not ended.
    Run(Run),
    /// One that had, unseen.
    Ended(Ended),
}

/// What a call is made of.
pub struct Invocation<B> {
    /// A ready or reused instance; without one, it is spawned as part of the call.
    pub instance: Option<Box<Instance>>,
    /// What the guest is asked.
    pub request: Request<B>,
    /// CPU time allowed, start-up included, in milliseconds.
    pub cpu_ms: u64,
    /// The account; the one of `instance` if there is one.
    pub meter: Arc<Meter>,
}

impl Instance {
    /// One that has just been made.
    pub(super) fn new(
        (store, seat, guest): (Store<HostState>, Seat, Guest),
        meter: Arc<Meter>,
        code: Arc<Code>,
        resetter: Option<Resetter>,
    ) -> Self {
        let began_with = store.data().memory.used();
        Self { store, _seat: seat, guest, meter, code, answered: 0, used: false, resetter, began_with }
    }

    /// The account of this instance.
    #[must_use]
    pub fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }

    /// Whether its guest has ended, and not only answered.
    #[must_use]
    pub fn is_over(&self) -> bool {
        !self.store.data().lowered_runs()
    }
}

impl Run {
    /// The account of its call.
    #[must_use]
    pub fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }

    /// Whose it is.
    #[must_use]
    pub fn program(&self) -> ProgramId {
        self.program
    }

    /// Runs the guest until it waits, yields or ends. Charges the time to its meter.
    pub fn poll(&mut self, cx: &mut Context<'_>, pulse: &Pulse) -> Poll<Ended> {
        pulse.begin(Some(self.program));
        self.meter.poll_begins();
        let future = self.future.as_mut();
        let ticks = self.meter.ticks();
        let polled = catch_unwind(AssertUnwindSafe(|| future.poll(cx)));
        self.meter.poll_ends();
        self.interrupted = self.meter.ticks() != ticks;
        pulse.end();
        polled.unwrap_or(Poll::Ready(Ended::Panicked))
    }
}

impl Call {
    /// Prepares a call; nothing runs before the first poll.
    #[must_use]
    pub fn new<B>(program: Arc<Program>, invocation: Invocation<B>) -> Self
    where
        B: http_body::Body<Data = bytes::Bytes, Error = wasmtime_wasi_http::Error> + Send + 'static,
    {
        let (head_tx, head) = oneshot::channel();
        let (body_sent, sent) = match program.code.handler() {
            Handler::Http02 => (None, None),
            Handler::Http03 => {
                let (body_sent, sent) = oneshot::channel();
                (Some(body_sent), Some(sent))
            }
        };
        let Invocation { instance, request, cpu_ms, meter } = invocation;
        meter.arm(cpu_ms);
        let account = meter.clone();
        let id = program.id;
        let future = Box::pin(async move {
            let taken = match instance {
                Some(instance) => instance.as_new().await,
                None => None,
            };
            let mut instance = match taken {
                Some(instance) => instance,
                // Boxed, so that a call that needs none carries nothing of it.
                None => match Box::pin(program.spawn(account)).await {
                    Ok(instance) => Box::new(instance),
                    Err(error) => return Ended::NotSpawned(error),
                },
            };
            instance.meter.spawned();
            match instance.call(request, head_tx, sent).await {
                Ok(()) => {
                    instance.answered += 1;
                    Ended::Cleanly(instance)
                }
                Err(error) => {
                    program.failed(&error, &instance.meter);
                    Ended::Failed(error, instance)
                }
            }
        });
        let run = Run { future, meter: meter.clone(), program: id, interrupted: false };
        Self { place: Place::Light(run), meter, head: Some(head), body_sent }
    }

    /// Runs the guest until it waits, yields or ends; in the heavy lane, looks whether it has ended.
    pub fn poll(&mut self, cx: &mut Context<'_>, pulse: &Pulse) -> Poll<Ended> {
        let polled = match &mut self.place {
            Place::Light(run) => run.poll(cx, pulse),
            Place::Heavy(given) => given.poll(cx),
            Place::Over => Poll::Pending,
        };
        if polled.is_ready() {
            self.place = Place::Over;
        }
        polled
    }

    /// Whether the guest runs on this thread.
    #[must_use]
    pub fn is_here(&self) -> bool {
        matches!(self.place, Place::Light(_))
    }

    /// Whether the guest still runs on this thread and has had what a short call may have of it.
    #[must_use]
    pub fn is_too_heavy(&self) -> bool {
        let used_up = self.meter.ticks() >= LIGHT_TICKS || self.meter.cpu_ns() > HEAVY_NS;
        used_up && self.is_here()
    }

    /// Whether the guest waits for nothing: it would go on if it had a thread to itself.
    #[must_use]
    pub fn is_computing(&self) -> bool {
        match &self.place {
            Place::Light(run) => run.interrupted,
            Place::Heavy(given) => given.is_computing(),
            Place::Over => false,
        }
    }

    /// Whether it waits in the heavy lane until others of its function have ended.
    #[must_use]
    pub fn waits_for_others(&self) -> bool {
        matches!(&self.place, Place::Heavy(given) if given.waits_for_others())
    }

    /// Has the guest run in the heavy lane from now on. `gone` is told if its instance ends there unseen.
    pub fn give_away(&mut self, lane: &HeavyLane, group: Group, gone: &Arc<Gone>) {
        match std::mem::replace(&mut self.place, Place::Over) {
            Place::Light(run) => {
                self.meter.charge_by_thread();
                self.place = Place::Heavy(lane.give(group, run, gone.clone()));
            }
            other => self.place = other,
        }
    }

    /// Gives up. What is left to drop on this thread is returned; a guest in the heavy lane ends there.
    #[must_use]
    pub fn abandon(self) -> Option<Remains> {
        match self.place {
            Place::Light(run) => Some(Remains::Run(run)),
            Place::Heavy(mut given) => given.take().map(Remains::Ended),
            Place::Over => None,
        }
    }

    /// The head, once the guest has set it.
    pub fn head(&mut self, cx: &mut Context<'_>) -> Option<Answer> {
        let head = self.head.as_mut()?;
        let answer = match &self.place {
            // It sets its head while it is polled, here: there is nothing to be woken for.
            Place::Light(_) | Place::Over => head.try_recv().ok(),
            Place::Heavy(_) => match Pin::new(head).poll(cx) {
                Poll::Ready(answer) => {
                    self.head = None;
                    return answer.ok();
                }
                Poll::Pending => None,
            },
        };
        if answer.is_some() {
            self.head = None;
        }
        answer
    }

    /// Tells a 0.3 guest that its body has gone out.
    pub fn body_is_sent(&mut self) {
        self.body_sent = None;
    }

    /// The account of this call.
    #[must_use]
    pub fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }
}

impl Instance {
    async fn call<B>(
        &mut self,
        request: Request<B>,
        head: oneshot::Sender<Answer>,
        sent: Option<oneshot::Receiver<()>>,
    ) -> wasmtime::Result<()>
    where
        B: http_body::Body<Data = bytes::Bytes, Error = wasmtime_wasi_http::Error> + Send + 'static,
    {
        let store = &mut self.store;
        match &self.guest {
            Guest::Http02(proxy) => {
                let (request, out) = resources(store, request, head)?;
                proxy.wasi_http_incoming_handler().call_handle(store, request, out).await
            }
            Guest::Lowered(handle) => {
                let (request, out) = resources(store, request, head)?;
                handle.call_async(store, (lowered::handle(&request), lowered::handle(&out))).await
            }
            Guest::Concurrent { memory, handle, callback } => {
                // Boxed, so that a 0.2 call carries nothing of it.
                let call = concurrent::Calling { memory: *memory, handle, callback, head, sent };
                Box::pin(call.run(store, request.map(BodyExt::boxed_unsync))).await
            }
            Guest::Http03(service) => {
                let (request, sending) = p3::Request::from_http(store.data_mut().http().hooks, request);
                // Boxed, so that a 0.2 call carries nothing of it.
                Box::pin(store.run_concurrent(async |accessor| {
                    let answer = match service.handle(accessor, request).await? {
                        Ok(response) => {
                            Ok(accessor.with(|mut store| response.into_http(&mut store, sending))?)
                        }
                        Err(code) => Err(format!("{code:?}")),
                    };
                    if let (Ok(()), Some(sent)) = (head.send(answer), sent) {
                        // The guest's own tasks write the body; they live as long as this closure.
                        let _ = sent.await;
                    }
                    Ok(())
                }))
                .await?
            }
        }
    }
}

/// What a guest of 0.2 is called with: the request, and where its answer goes.
fn resources<B>(
    store: &mut Store<HostState>,
    request: Request<B>,
    head: oneshot::Sender<Answer>,
) -> wasmtime::Result<(Resource<HostIncomingRequest>, Resource<HostResponseOutparam>)>
where
    B: http_body::Body<Data = bytes::Bytes, Error = wasmtime_wasi_http::Error> + Send + 'static,
{
    let mut http = store.data_mut().http();
    let request = http.new_incoming_request(Scheme::Http, request)?;
    let out = http.new_response_outparam_from_callback(move |answer| {
        // Nobody listens any more when the client has left: the guest need not care.
        let _ = head.send(answer.map_err(|code| format!("{code:?}")));
    })?;
    Ok((request, out))
}
