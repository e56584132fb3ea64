//! The body of a request as its guest is given it: as it comes, or kept so that it can be given again.
//! Must never keep more than a few bytes, and nothing of a function that did not ask for retries.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;

use super::service::Tell;
use crate::net::body::Bounded;

/// Bytes of a body that is kept for a retry.
pub const KEPT: u64 = 64 * 1024;

/// What a guest reads.
pub enum Asked {
    /// As it comes from the client.
    Streamed(Bounded<Tell>),
    /// All of it, at hand.
    Kept(Option<Bytes>),
}

/// Reads a small body whole. Gives it back as it is if it does not say that it is small.
///
/// # Errors
/// What hyper says of a body that breaks off.
pub async fn keep(
    body: Incoming,
) -> Result<Result<Bytes, Incoming>, Box<dyn std::error::Error + Send + Sync>> {
    match body.size_hint().exact() {
        Some(exact) if exact <= KEPT => {
            let most = usize::try_from(KEPT).unwrap_or(usize::MAX);
            Ok(Ok(Limited::new(body, most).collect().await?.to_bytes()))
        }
        _ => Ok(Err(body)),
    }
}

impl Body for Asked {
    type Data = Bytes;
    type Error = wasmtime_wasi_http::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.get_mut() {
            Self::Streamed(body) => Pin::new(body).poll_frame(cx),
            Self::Kept(bytes) => Poll::Ready(
                bytes.take().filter(|bytes| !bytes.is_empty()).map(|bytes| Ok(Frame::data(bytes))),
            ),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Streamed(body) => body.is_end_stream(),
            Self::Kept(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Streamed(body) => body.size_hint(),
            Self::Kept(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
        }
    }
}
