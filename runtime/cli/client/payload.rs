//! What a request carries: bytes, and files that are read while they are sent, of a length that is known before.
//! Must never hold a whole file in memory.

use std::collections::VecDeque;
use std::fs::File;
use std::future::Future;
use std::io::{self, Read as _};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// A body to be sent.
#[derive(Default)]
pub(crate) struct Payload {
    parts: VecDeque<Part>,
    left: u64,
    gate: Option<Gate>,
    sent: Option<Box<dyn FnMut(u64) + Send>>,
}

/// Opens when the first byte may be sent.
pub(super) type Gate = Pin<Box<dyn Future<Output = ()> + Send>>;

enum Part {
    Bytes(Bytes),
    File { file: File, left: u64 },
}

/// Bytes of a file that are read at once.
const CHUNK: u64 = 64 << 10;

impl Payload {
    /// Adds bytes.
    pub(crate) fn bytes(mut self, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        self.left += bytes.len() as u64;
        self.parts.push_back(Part::Bytes(bytes));
        self
    }

    /// Adds the next `length` bytes of a file.
    pub(crate) fn file(mut self, file: File, length: u64) -> Self {
        self.left += length;
        self.parts.push_back(Part::File { file, left: length });
        self
    }

    /// Calls `sent` with the bytes of each piece that leaves.
    pub(crate) fn watched(mut self, sent: impl FnMut(u64) + Send + 'static) -> Self {
        self.sent = Some(Box::new(sent));
        self
    }

    /// Bytes that are still to be sent.
    pub(crate) fn len(&self) -> u64 {
        self.left
    }

    /// Sends nothing before `gate` opens.
    pub(super) fn behind(&mut self, gate: Gate) {
        self.gate = Some(gate);
    }

    fn piece(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            match self.parts.front_mut() {
                None => return Ok(None),
                Some(Part::File { left: 0, .. }) => drop(self.parts.pop_front()),
                Some(Part::File { file, left }) => {
                    let mut chunk = Vec::new();
                    let read = file.take(CHUNK.min(*left)).read_to_end(&mut chunk)?;
                    if read == 0 {
                        let why = "the file became shorter while it was sent";
                        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
                    }
                    *left -= read as u64;
                    return Ok(Some(chunk.into()));
                }
                Some(Part::Bytes(bytes)) => {
                    let bytes = std::mem::take(bytes);
                    self.parts.pop_front();
                    if !bytes.is_empty() {
                        return Ok(Some(bytes));
                    }
                }
            }
        }
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Some(gate) = &mut self.gate {
            ready!(gate.as_mut().poll(cx));
            self.gate = None;
        }
        let piece = match self.piece() {
            Ok(Some(piece)) => piece,
            Ok(None) => return Poll::Ready(None),
            Err(error) => return Poll::Ready(Some(Err(error))),
        };
        let length = piece.len() as u64;
        self.left = self.left.saturating_sub(length);
        if let Some(sent) = &mut self.sent {
            sent(length);
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
