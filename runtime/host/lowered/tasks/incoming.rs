//! The body of the request that a 0.3 guest answers, as its stream reads it. Must never read ahead of the guest by more than
//! one frame.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};
use http::HeaderMap;
use http_body::{Body, Frame};
use wasmtime_wasi_http::{Error as HttpError, WasiBody};

use crate::host::is_forbidden;

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

    /// What is left of it, to be sent as it comes; nobody reads it then.
    pub(super) fn forward(&mut self) -> (Bytes, Option<WasiBody>) {
        let rest = (std::mem::take(&mut self.left), self.body.take());
        if rest.1.is_some() {
            self.over(Ok(None));
        }
        rest
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

/// A request's body that is a response's: it goes out as it comes, and the guest has nothing to do with it.
pub(super) struct Forwarded {
    left: Bytes,
    body: Option<WasiBody>,
    /// Bytes that the response declared and that have not come.
    declared: Option<u64>,
}

impl Forwarded {
    /// What was not read of a body; its trailers lose what a guest may not send.
    pub(super) fn new((left, body): (Bytes, Option<WasiBody>), declared: Option<u64>) -> Self {
        Self { left, body, declared }
    }

    fn counted(&mut self, data: Bytes) -> Result<Frame<Bytes>, HttpError> {
        if let Some(declared) = &mut self.declared {
            let Some(left) = declared.checked_sub(data.len() as u64) else {
                return Err(HttpError::HttpResponseBodySize(None));
            };
            *declared = left;
        }
        Ok(Frame::data(data))
    }
}

impl Body for Forwarded {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        if !self.left.is_empty() {
            let left = std::mem::take(&mut self.left);
            return Poll::Ready(Some(self.counted(left)));
        }
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let Poll::Ready(frame) = Pin::new(body).poll_frame(cx) else { return Poll::Pending };
        let is_short = self.declared.is_some_and(|declared| declared > 0);
        Poll::Ready(match frame {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => Some(self.counted(data)),
                Err(_) if is_short => Some(Err(HttpError::HttpResponseBodySize(None))),
                Err(frame) => frame.into_trailers().ok().map(|mut trailers| {
                    for name in trailers.keys().filter(|name| is_forbidden(name)).cloned().collect::<Vec<_>>()
                    {
                        trailers.remove(name);
                    }
                    Ok(Frame::trailers(trailers))
                }),
            },
            None if is_short => {
                self.body = None;
                Some(Err(HttpError::HttpResponseBodySize(None)))
            }
            other => other,
        })
    }
}
