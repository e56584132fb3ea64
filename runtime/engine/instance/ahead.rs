//! Guests that run ahead of any call: their start-up, and what puts them back.
//! Must never run without being charged like a call.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::Instance;
use crate::engine::program::{Program, ProgramId, SpawnError};
use crate::engine::ticker::Pulse;
use crate::host::meter::Meter;

/// Something that runs a guest, and that no call waits for.
pub struct Ahead<T> {
    program: ProgramId,
    meter: Arc<Meter>,
    work: Pin<Box<dyn Future<Output = T> + Send>>,
}

impl<T> Ahead<T> {
    fn new(
        program: ProgramId,
        (cpu_ms, meter): (u64, Arc<Meter>),
        work: impl Future<Output = T> + Send + 'static,
    ) -> Self {
        meter.arm(cpu_ms);
        Self { program, meter, work: Box::pin(work) }
    }

    /// Runs the guest until it waits, yields or ends; `None` if the host panicked. Charges the time to its meter.
    pub fn poll(&mut self, cx: &mut Context<'_>, pulse: &Pulse) -> Poll<Option<T>> {
        pulse.begin(Some(self.program));
        self.meter.poll_begins();
        let work = self.work.as_mut();
        let polled = catch_unwind(AssertUnwindSafe(|| work.poll(cx)));
        self.meter.poll_ends();
        pulse.end();
        polled.map_or(Poll::Ready(None), |polled| polled.map(Some))
    }

    /// Runs it on the calling thread, whose pulse this is.
    pub async fn here(mut self, pulse: &Pulse) -> Option<T> {
        std::future::poll_fn(|cx| self.poll(cx, pulse)).await
    }
}

/// What makes an instance. Fails as [`Program::spawn`] does.
#[must_use]
pub fn spawn_ahead(
    program: Arc<Program>,
    (cpu_ms, meter): (u64, Arc<Meter>),
) -> Ahead<Result<Box<Instance>, SpawnError>> {
    let account = meter.clone();
    Ahead::new(program.id, (cpu_ms, meter), async move { program.spawn(account).await.map(Box::new) })
}

/// What shows that an instance can be made. Fails as [`Program::prove`] does.
#[must_use]
pub fn prove_ahead(
    program: Arc<Program>,
    (cpu_ms, meter): (u64, Arc<Meter>),
) -> Ahead<Result<(), SpawnError>> {
    let account = meter.clone();
    let proof = Ahead::new(program.id, (cpu_ms, meter), async move { program.prove(account).await });
    // The threads of the heavy lane are not always scheduled.
    proof.meter.charge_by_thread();
    proof
}

/// What puts an instance back. It gives none if that could not be done, and the instance is gone.
#[must_use]
pub fn reset_ahead(program: ProgramId, instance: Box<Instance>, cpu_ms: u64) -> Ahead<Option<Box<Instance>>> {
    let meter = instance.meter.clone();
    Ahead::new(program, (cpu_ms, meter), instance.as_new())
}
