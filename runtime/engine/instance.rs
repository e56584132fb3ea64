//! One live guest and one call of it: a single boxed future owns the store, so dropping it ends the guest.
//! Must never be used after anything but a clean end: a call consumes its instance and gives it back only then.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tokio::sync::oneshot;
use wasmtime::Store;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;
use wasmtime_wasi_http::p3;
use wasmtime_wasi_http::{WasiBody, WasiHttpView};

use super::program::{Guest, Program, SpawnError};
use super::ticker::Pulse;
use crate::host::HostState;
use crate::host::meter::Meter;

/// One store with one guest in it.
pub struct Instance {
    pub(super) store: Store<HostState>,
    pub(super) guest: Guest,
    pub(super) meter: Arc<Meter>,
    /// Calls that ended cleanly.
    pub answered: u32,
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

type CallFuture = Pin<Box<dyn Future<Output = Ended> + Send>>;

/// One call in progress.
pub struct Call {
    future: CallFuture,
    meter: Arc<Meter>,
    head: oneshot::Receiver<Answer>,
    /// Dropped when the body has been sent: an 0.3 guest may run until then.
    body_sent: Option<oneshot::Sender<()>>,
    pulse: Pulse,
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
    /// The account of this instance.
    #[must_use]
    pub fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }
}

impl Call {
    /// Prepares a call; nothing runs before the first poll.
    #[must_use]
    pub fn new<B>(program: Arc<Program>, invocation: Invocation<B>, pulse: Pulse) -> Self
    where
        B: http_body::Body<Data = bytes::Bytes, Error = wasmtime_wasi_http::Error> + Send + 'static,
    {
        let (head_tx, head) = oneshot::channel();
        let (body_sent, sent) = oneshot::channel();
        let Invocation { instance, request, cpu_ms, meter } = invocation;
        meter.arm(cpu_ms);
        let account = meter.clone();
        let future = Box::pin(async move {
            let mut instance = match instance {
                Some(mut instance) => {
                    instance.store.set_epoch_deadline(1);
                    instance
                }
                None => match program.spawn(account).await {
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
                Err(error) => Ended::Failed(error, instance),
            }
        });
        Self { future, meter, head, body_sent: Some(body_sent), pulse }
    }

    /// Runs the guest until it waits, yields or ends. Charges the time to its meter.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        self.pulse.begin();
        self.meter.poll_begins();
        let future = self.future.as_mut();
        let polled = catch_unwind(AssertUnwindSafe(|| future.poll(cx)));
        self.meter.poll_ends();
        self.pulse.end();
        polled.unwrap_or(Poll::Ready(Ended::Panicked))
    }

    /// The head, once the guest has set it.
    pub fn head(&mut self) -> Option<Answer> {
        self.head.try_recv().ok()
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

/// Makes an instance ahead of any call, charging its start-up like a call's.
///
/// # Errors
/// As [`Program::spawn`]; a panic of the host counts as a guest that failed to start.
pub async fn spawn_ahead(
    program: Arc<Program>,
    (cpu_ms, meter): (u64, Arc<Meter>),
    pulse: Pulse,
) -> Result<Box<Instance>, SpawnError> {
    meter.arm(cpu_ms);
    let account = meter.clone();
    let mut spawning = Box::pin(async move { program.spawn(account).await });
    std::future::poll_fn(move |cx| {
        pulse.begin();
        meter.poll_begins();
        let polled = catch_unwind(AssertUnwindSafe(|| spawning.as_mut().poll(cx)));
        meter.poll_ends();
        pulse.end();
        polled.unwrap_or_else(|_| {
            Poll::Ready(Err(SpawnError::Guest(wasmtime::format_err!("the host panicked"))))
        })
    })
    .await
    .map(Box::new)
}

impl Instance {
    async fn call<B>(
        &mut self,
        request: Request<B>,
        head: oneshot::Sender<Answer>,
        sent: oneshot::Receiver<()>,
    ) -> wasmtime::Result<()>
    where
        B: http_body::Body<Data = bytes::Bytes, Error = wasmtime_wasi_http::Error> + Send + 'static,
    {
        let store = &mut self.store;
        match &self.guest {
            Guest::Http02(proxy) => {
                let mut http = store.data_mut().http();
                let request = http.new_incoming_request(Scheme::Http, request)?;
                let out = http.new_response_outparam_from_callback(move |answer| {
                    // Nobody listens any more when the client has left: the guest need not care.
                    let _ = head.send(answer.map_err(|code| format!("{code:?}")));
                })?;
                proxy.wasi_http_incoming_handler().call_handle(store, request, out).await
            }
            Guest::Http03(service) => {
                let (request, sending) = p3::Request::from_http(store.data_mut().http().hooks, request);
                store
                    .run_concurrent(async |accessor| {
                        let answer = match service.handle(accessor, request).await? {
                            Ok(response) => {
                                Ok(accessor.with(|mut store| response.into_http(&mut store, sending))?)
                            }
                            Err(code) => Err(format!("{code:?}")),
                        };
                        if head.send(answer).is_ok() {
                            // The guest's own tasks write the body; they live as long as this closure.
                            let _ = sent.await;
                        }
                        Ok(())
                    })
                    .await?
            }
        }
    }
}
