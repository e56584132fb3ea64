//! One call of a lowered guest of 0.3: it is called, says what it waits for, and is told what has happened, until it ends or
//! nobody waits for it any more. Must never go on with a guest that has said something that makes no sense.

use std::pin::Pin;
use std::task::{Context, Poll};

use http::Request;
use tokio::sync::oneshot::{self, error::TryRecvError};
use wasmtime::{Memory, Result, Store, Trap, TypedFunc, bail};
use wasmtime_wasi_http::WasiBody;

use super::Answer;
use crate::host::HostState;
use crate::host::lowered::{Event, NOTHING};

/// What a guest says when it gives way: it has ended, it would go on, or it waits for a set, whose handle is in the upper
/// bits.
const EXIT: u32 = 0;
const YIELD: u32 = 1;
const WAIT: u32 = 2;

/// What a call needs of its guest, and who waits for it.
pub(super) struct Calling<'g> {
    pub(super) memory: Memory,
    pub(super) handle: &'g TypedFunc<u32, u32>,
    pub(super) callback: &'g TypedFunc<(u32, u32, u32), u32>,
    pub(super) head: oneshot::Sender<Answer>,
    /// Ends when the body has been taken.
    pub(super) sent: Option<oneshot::Receiver<()>>,
}

/// Steps of a guest whose answer has been taken: enough to clean up.
const AFTER: u32 = 64;

impl Calling<'_> {
    /// Runs the guest until it ends, or its answer has been taken and it does not end soon.
    pub(super) async fn run(self, store: &mut Store<HostState>, request: Request<WasiBody>) -> Result<()> {
        let Self { memory, handle, callback, head, sent } = self;
        let (mut head, mut taken, mut after) = (Some(head), Taken { is_taken: false, sent }, AFTER);
        let request = store.data_mut().lowered_begin(request)?;
        let mut said = handle.call_async(&mut *store, request).await?;
        loop {
            if let Some(answer) = store.data_mut().lowered_answer()
                && let Some(head) = head.take()
            {
                // Without anybody who listens the client has left, and nobody waits for the body.
                taken.is_taken = head.send(answer).is_err();
            }
            if taken.now() {
                after -= 1;
            }
            let event = match said & 0xf {
                EXIT => {
                    store.data_mut().lowered_end()?;
                    // What it left half written goes out, as long as somebody takes it.
                    let mut rest = Waiting { memory, set: None, taken: &mut taken };
                    return std::future::poll_fn(|cx| rest.poll(store, cx)).await.map(drop);
                }
                // It still runs, and will not be called again.
                _ if after == 0 => return Ok(()),
                YIELD => {
                    tokio::task::yield_now().await;
                    NOTHING
                }
                WAIT => {
                    let mut waiting = Waiting { memory, set: Some(said >> 4), taken: &mut taken };
                    match std::future::poll_fn(|cx| waiting.poll(store, cx)).await? {
                        Some(event) => event,
                        None => return Ok(()),
                    }
                }
                _ => bail!(Trap::UnsupportedCallbackCode),
            };
            said = callback.call_async(&mut *store, event).await?;
        }
    }
}

/// Whether the answer has been taken, all of it.
struct Taken {
    is_taken: bool,
    sent: Option<oneshot::Receiver<()>>,
}

impl Taken {
    fn now(&mut self) -> bool {
        let is_over = |sent: &mut oneshot::Receiver<()>| !matches!(sent.try_recv(), Err(TryRecvError::Empty));
        self.is_taken |= self.sent.as_mut().is_some_and(is_over);
        self.is_taken
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        self.is_taken =
            self.is_taken || self.sent.as_mut().is_some_and(|sent| Pin::new(sent).poll(cx).is_ready());
        self.is_taken
    }
}

/// A guest that waits.
struct Waiting<'t> {
    memory: Memory,
    /// What it waits for; one that has ended waits for nothing.
    set: Option<u32>,
    taken: &'t mut Taken,
}

impl Waiting<'_> {
    /// What has happened; nothing if the answer has been taken before anything did.
    fn poll(&mut self, store: &mut Store<HostState>, cx: &mut Context<'_>) -> Poll<Result<Option<Event>>> {
        let (memory, state) = self.memory.data_and_store_mut(&mut *store);
        let polled = match self.set {
            Some(set) => state.lowered_event(memory, set, cx).map(|event| event.map(Some)),
            None => state.lowered_rest(memory, cx).map(|rest| rest.map(|()| None)),
        };
        if polled.is_pending() && self.taken.poll(cx) { Poll::Ready(Ok(None)) } else { polled }
    }
}
