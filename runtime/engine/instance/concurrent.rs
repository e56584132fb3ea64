//! One call of a lowered guest of 0.3: it is called, says what it waits for, and is told what has happened, until it ends or
//! nobody waits for it any more. Must never go on with a guest that has said something that makes no sense.

use std::pin::Pin;
use std::task::Poll;

use http::Request;
use tokio::sync::oneshot;
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

impl Calling<'_> {
    /// Runs the guest until it ends, or its answer has been taken and it waits.
    pub(super) async fn run(self, store: &mut Store<HostState>, request: Request<WasiBody>) -> Result<()> {
        let Self { memory, handle, callback, head, mut sent } = self;
        let (mut head, mut is_taken) = (Some(head), false);
        let request = store.data_mut().lowered_begin(request)?;
        let mut said = handle.call_async(&mut *store, request).await?;
        loop {
            if let Some(answer) = store.data_mut().lowered_answer()
                && let Some(head) = head.take()
            {
                // Without anybody who listens the client has left, and nobody waits for the body.
                is_taken = head.send(answer).is_err();
            }
            let event = match said & 0xf {
                EXIT => {
                    store.data_mut().lowered_end()?;
                    // What it left half written goes out, as long as somebody takes it.
                    let mut rest = Waiting { memory, set: None, sent: &mut sent, is_taken };
                    return std::future::poll_fn(|cx| rest.poll(store, cx)).await.map(drop);
                }
                YIELD => {
                    tokio::task::yield_now().await;
                    NOTHING
                }
                WAIT => {
                    let mut waiting = Waiting { memory, set: Some(said >> 4), sent: &mut sent, is_taken };
                    match std::future::poll_fn(|cx| waiting.poll(store, cx)).await? {
                        Some(event) => event,
                        // It still runs, and will not be called again.
                        None => return Ok(()),
                    }
                }
                _ => bail!(Trap::UnsupportedCallbackCode),
            };
            said = callback.call_async(&mut *store, event).await?;
        }
    }
}

/// A guest that waits.
struct Waiting<'s> {
    memory: Memory,
    /// What it waits for; one that has ended waits for nothing.
    set: Option<u32>,
    sent: &'s mut Option<oneshot::Receiver<()>>,
    is_taken: bool,
}

impl Waiting<'_> {
    /// What has happened; nothing if the answer has been taken first.
    fn poll(
        &mut self,
        store: &mut Store<HostState>,
        cx: &mut std::task::Context<'_>,
    ) -> Poll<Result<Option<Event>>> {
        let (memory, state) = self.memory.data_and_store_mut(&mut *store);
        match self.set {
            Some(set) => {
                if let Poll::Ready(event) = state.lowered_event(memory, set, cx) {
                    return Poll::Ready(event.map(Some));
                }
            }
            None => {
                if let Poll::Ready(rest) = state.lowered_rest(memory, cx) {
                    return Poll::Ready(rest.map(|()| None));
                }
            }
        }
        let is_over = self.sent.as_mut().is_some_and(|sent| Pin::new(sent).poll(cx).is_ready());
        if self.is_taken || is_over {
            return Poll::Ready(Ok(None));
        }
        Poll::Pending
    }
}
