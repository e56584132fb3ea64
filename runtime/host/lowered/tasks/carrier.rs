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
pub(super) struct Feeder {
    carried: Arc<Mutex<Carried>>,
    /// Bytes that the response declared, and that it has sent.
    declared: Option<u64>,
    sent: u64,
}

/// The end of whoever sends it.
pub(super) struct Outgoing {
    carried: Arc<Mutex<Carried>>,
    /// Bytes that are still to come, if that was declared.
    left: Option<u64>,
}

/// What is on its way.
#[derive(Default)]
struct Carried {
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
    let carried = Arc::<Mutex<Carried>>::default();
    (Feeder { carried: carried.clone(), declared, sent: 0 }, Outgoing { carried, left: declared })
}

impl Carried {
    fn more(&mut self) {
        if let Some(waker) = self.for_more.take() {
            waker.wake();
        }
    }
}

impl Feeder {
    /// Takes of these bytes what there is room for.
    pub(super) fn take(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> Poll<Taken> {
        let mut carried = lock(&self.carried);
        if carried.is_gone || carried.failed.is_some() {
            return Poll::Ready(Taken::Gone);
        }
        if carried.piece.is_some() {
            carried.for_room = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let bytes = bytes.get(..PIECE).unwrap_or(bytes);
        let sent = self.sent.saturating_add(bytes.len() as u64);
        if self.declared.is_some_and(|declared| sent > declared) {
            carried.failed = Some(HttpError::HttpResponseBodySize(Some(sent)));
            carried.more();
            return Poll::Ready(Taken::Gone);
        }
        self.sent = sent;
        if !bytes.is_empty() {
            carried.piece = Some(Bytes::copy_from_slice(bytes));
            carried.more();
        }
        Poll::Ready(Taken::Bytes(bytes.len()))
    }

    /// The guest writes no more.
    pub(super) fn close(&mut self) {
        let mut carried = lock(&self.carried);
        let is_short = self.declared.is_some_and(|declared| self.sent != declared);
        if is_short && !carried.is_gone && carried.failed.is_none() {
            carried.failed = Some(HttpError::HttpResponseBodySize(Some(self.sent)));
        }
        carried.is_closed = true;
        carried.more();
    }

    /// What comes after the body, or why it fails there.
    pub(super) fn trailers(&self, trailers: Result<Option<HeaderMap>, HttpError>) {
        let mut carried = lock(&self.carried);
        match trailers {
            Ok(Some(trailers)) => carried.trailers = Trailers::There(trailers),
            Ok(None) => carried.trailers = Trailers::Over,
            Err(error) => carried.failed = carried.failed.take().or(Some(error)),
        }
        carried.more();
    }

    /// Another hand on the same body, for its trailers.
    pub(super) fn again(&self) -> Self {
        Self { carried: self.carried.clone(), declared: None, sent: 0 }
    }

    /// Whether the guest was told, or would be, that it sent too much or too little; `None` while that is open.
    pub(super) fn verdict(&self, is_over: bool) -> Option<Result<(), u64>> {
        match self.declared {
            None => Some(Ok(())),
            Some(declared) if self.sent == declared => Some(Ok(())),
            Some(_) if is_over => Some(Err(self.sent)),
            Some(_) => None,
        }
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        let mut carried = lock(&self.carried);
        carried.is_gone = true;
        carried.piece = None;
        if let Some(waker) = carried.for_room.take() {
            waker.wake();
        }
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
        let mut carried = lock(&carried);
        if let Some(piece) = carried.piece.take() {
            if let Some(waker) = carried.for_room.take() {
                waker.wake();
            }
            if let Some(left) = &mut self.left {
                *left = left.saturating_sub(piece.len() as u64);
            }
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        if let Some(error) = carried.failed.take() {
            carried.is_gone = true;
            return Poll::Ready(Some(Err(error)));
        }
        if carried.is_closed || carried.is_gone {
            match std::mem::replace(&mut carried.trailers, Trailers::Over) {
                Trailers::There(trailers) => return Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
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
