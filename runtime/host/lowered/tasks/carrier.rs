//! Carries a response's body from the guest's stream to whoever sends it, a piece at a time. Must never hold more than one
//! piece, nor more bytes than the response declared.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use wasmtime_wasi_http::Error as HttpError;

/// Bytes of the largest piece.
const PIECE: usize = 64 << 10;

/// The guest's end.
#[derive(Clone)]
pub(super) struct Feeder(Arc<Mutex<Carried>>);

/// The end of whoever sends it.
pub(super) struct Outgoing {
    carried: Arc<Mutex<Carried>>,
    /// Bytes that are still to come, if that was declared.
    left: Option<u64>,
}

/// What is on its way.
#[derive(Default)]
struct Carried {
    /// Bytes that the response declared, and that the guest has written.
    declared: Option<u64>,
    written: u64,
    piece: Option<Bytes>,
    /// Why no more will come; taken by whoever is told.
    failed: Option<HttpError>,
    /// The guest writes no more.
    is_closed: bool,
    trailers: Trailers,
    /// Nobody takes any more.
    is_gone: bool,
    for_more: Option<Waker>,
    for_room: Option<Waker>,
}

#[derive(Default)]
enum Trailers {
    #[default]
    Awaited,
    There(HeaderMap),
    /// The body is to break off where it ends.
    Failed(HttpError),
    /// There are none, or they were taken.
    Over,
}

/// What became of what the guest wants to write.
pub(super) enum Taken {
    /// So many bytes were taken.
    Bytes(usize),
    /// Nobody takes any more.
    Gone,
}

fn lock(carried: &Mutex<Carried>) -> MutexGuard<'_, Carried> {
    // Whoever panicked held whole values only.
    carried.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A body, and what feeds it.
pub(super) fn carrier(declared: Option<u64>) -> (Feeder, Outgoing) {
    let carried = Arc::new(Mutex::new(Carried { declared, ..Carried::default() }));
    (Feeder(carried.clone()), Outgoing { carried, left: declared })
}

/// Wakes whoever waits, with nothing locked: what a waker does is not known here.
fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl Feeder {
    /// Takes of these bytes what there is room for.
    pub(super) fn take(&self, bytes: &[u8], cx: &mut Context<'_>) -> Poll<Taken> {
        let mut carried = lock(&self.0);
        if carried.is_gone || carried.failed.is_some() {
            return Poll::Ready(Taken::Gone);
        }
        if carried.piece.is_some() {
            carried.for_room = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let bytes = bytes.get(..PIECE).unwrap_or(bytes);
        let written = carried.written.saturating_add(bytes.len() as u64);
        if carried.declared.is_some_and(|declared| written > declared) {
            carried.written = written;
            carried.failed = Some(HttpError::HttpResponseBodySize(Some(written)));
            let waker = carried.for_more.take();
            drop(carried);
            wake(waker);
            return Poll::Ready(Taken::Gone);
        }
        carried.written = written;
        if !bytes.is_empty() {
            carried.piece = Some(Bytes::copy_from_slice(bytes));
            let waker = carried.for_more.take();
            drop(carried);
            wake(waker);
        }
        Poll::Ready(Taken::Bytes(bytes.len()))
    }

    /// The guest writes no more.
    pub(super) fn close(&self) {
        let mut carried = lock(&self.0);
        let written = carried.written;
        let is_short = carried.declared.is_some_and(|declared| written < declared);
        if is_short && !carried.is_gone && carried.failed.is_none() {
            carried.failed = Some(HttpError::HttpResponseBodySize(Some(written)));
        }
        carried.is_closed = true;
        let waker = carried.for_more.take();
        drop(carried);
        wake(waker);
    }

    /// What comes after the body, or why it fails there.
    pub(super) fn trailers(&self, trailers: Result<Option<HeaderMap>, HttpError>) {
        let mut carried = lock(&self.0);
        match trailers {
            Ok(Some(trailers)) => carried.trailers = Trailers::There(trailers),
            Ok(None) => carried.trailers = Trailers::Over,
            Err(error) => carried.trailers = Trailers::Failed(error),
        }
        let waker = carried.for_more.take();
        drop(carried);
        wake(waker);
    }

    /// Whether the guest wrote what it had declared, or how much instead; `None` while that is open.
    pub(super) fn verdict(&self) -> Option<Result<(), u64>> {
        let carried = lock(&self.0);
        match carried.declared {
            Some(declared) if carried.written > declared => Some(Err(carried.written)),
            Some(_) if !carried.is_closed && !carried.is_gone => None,
            Some(declared) if carried.written < declared && !carried.is_gone => Some(Err(carried.written)),
            _ => Some(Ok(())),
        }
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        let mut carried = lock(&self.carried);
        carried.is_gone = true;
        let (piece, waker) = (carried.piece.take(), carried.for_room.take());
        drop(carried);
        drop(piece);
        wake(waker);
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let carried = self.carried.clone();
        let mut guard = lock(&carried);
        let carried = &mut *guard;
        if let Some(piece) = carried.piece.take() {
            let waker = carried.for_room.take();
            drop(guard);
            wake(waker);
            if let Some(left) = &mut self.left {
                *left = left.saturating_sub(piece.len() as u64);
            }
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        if let Some(error) = carried.failed.take() {
            carried.is_gone = true;
            return Poll::Ready(Some(Err(error)));
        }
        if carried.is_gone {
            return Poll::Ready(None);
        }
        if carried.is_closed {
            match std::mem::replace(&mut carried.trailers, Trailers::Over) {
                Trailers::There(trailers) => return Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
                Trailers::Failed(error) => return Poll::Ready(Some(Err(error))),
                Trailers::Over => return Poll::Ready(None),
                Trailers::Awaited => carried.trailers = Trailers::Awaited,
            }
        }
        carried.for_more = Some(cx.waker().clone());
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        let carried = lock(&self.carried);
        carried.piece.is_none()
            && carried.failed.is_none()
            && carried.is_closed
            && matches!(carried.trailers, Trailers::Over)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
