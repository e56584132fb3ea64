//! A request's body, bounded. Must never buffer: what the guest does not read stays in the socket.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

/// A body that ends in an error once it is longer than allowed, after telling whoever wants to know.
pub struct Bounded<T> {
    inner: Incoming,
    seen: u64,
    left: u64,
    teller: T,
}

/// Is told that a body was too long.
pub trait Teller: Send + Unpin + 'static {
    /// The error the reader of the body gets.
    type Error;
    /// The body is longer than allowed: it has `seen` bytes so far.
    fn too_long(&self, seen: u64) -> Self::Error;
    /// The reader waits for the client, or does so no more.
    fn awaits(&self, client: bool);
    /// The client's body broke off.
    fn broken(&self, error: &hyper::Error) -> Self::Error;
}

impl<T> Bounded<T> {
    /// At most `limit` bytes of `inner`.
    #[must_use]
    pub fn new(inner: Incoming, limit: u64, teller: T) -> Self {
        Self { inner, seen: 0, left: limit, teller }
    }
}

impl<T: Teller> Body for Bounded<T> {
    type Data = Bytes;
    type Error = T::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, T::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        self.teller.awaits(polled.is_pending());
        let frame = std::task::ready!(polled);
        Poll::Ready(match frame {
            None => None,
            Some(Err(error)) => Some(Err(self.teller.broken(&error))),
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                self.seen = self.seen.saturating_add(length);
                match self.left.checked_sub(length) {
                    Some(left) => {
                        self.left = left;
                        Some(Ok(frame))
                    }
                    None => Some(Err(self.teller.too_long(self.seen))),
                }
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
