//! The body of the request that a 0.3 guest answers, as its stream reads it. Must never read ahead of the guest by more than
//! one frame.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};
use http::HeaderMap;
use http_body::Body as _;
use wasmtime_wasi_http::{Error as HttpError, WasiBody};

/// A request's body.
#[derive(Default)]
pub(super) struct Incoming {
    body: Option<WasiBody>,
    /// What is there of it and was not read.
    left: Bytes,
    /// How it ended, until somebody has asked.
    end: Option<Result<Option<HeaderMap>, HttpError>>,
}

impl Incoming {
    /// The body of the next request.
    pub(super) fn new(body: WasiBody) -> Self {
        Self { body: Some(body), left: Bytes::new(), end: None }
    }

    /// Reads into `room`: how much, or `None` after its end.
    pub(super) fn read(&mut self, room: &mut [u8], cx: &mut Context<'_>) -> Poll<Option<usize>> {
        while self.left.is_empty() {
            let Some(body) = &mut self.body else { return Poll::Ready(None) };
            let Poll::Ready(frame) = Pin::new(body).poll_frame(cx) else { return Poll::Pending };
            let end = match frame {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        self.left = data;
                        continue;
                    }
                    Err(frame) => Ok(frame.into_trailers().ok()),
                },
                None => Ok(None),
                Some(Err(error)) => Err(error),
            };
            self.over(end);
        }
        let count = self.left.len().min(room.len());
        self.left.copy_to_slice(&mut room[..count]);
        Poll::Ready(Some(count))
    }

    /// Nobody reads any more.
    pub(super) fn close(&mut self) {
        self.left = Bytes::new();
        if self.body.is_some() {
            self.over(Ok(None));
        }
    }

    fn over(&mut self, end: Result<Option<HeaderMap>, HttpError>) {
        self.body = None;
        self.end = Some(end);
    }

    /// What came after it, once it is over.
    pub(super) fn trailers(&mut self) -> Option<Result<Option<HeaderMap>, HttpError>> {
        self.end.take()
    }
}
