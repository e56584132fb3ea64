//! One stream or future, between the guest and the host, or the guest and itself: who holds its ends, and what the guest
//! waits for at each. Must never read or write where the guest did not say it may.

use std::task::{Context, Poll};

use wasmtime::{Result, bail, error::Context as _};

use super::carrier::{Feeder, Taken};
use super::incoming::Incoming;
use super::payload;
use crate::host::lowered::abi::{Range, target};

/// One operation has fewer elements.
const MOST: u32 = 1 << 28;

/// A stream of bytes, or a future.
pub(super) struct Pipe {
    pub(super) is_future: bool,
    pub(super) reader: Peer,
    pub(super) writer: Peer,
    /// What the guest wants to have written, and where it wants to have read to; for a future the length is 0.
    pub(super) write: Option<Range>,
    pub(super) read: Option<Range>,
}

/// Who holds an end.
pub(super) enum Peer {
    /// The guest, by this handle.
    Guest(u32),
    /// The host, which does nothing with it yet.
    Held,
    /// The host's, as what a response's body is.
    Body(Feeder),
    /// As what comes after that body.
    Trailers(Feeder),
    /// As what the guest has to say of the request's body, which nobody asks.
    Ignored,
    /// The host's, out of which the request's body comes.
    Request,
    /// Out of which what comes after it.
    RequestTrailers,
    /// Out of which comes whether a response was sent, by the number of that.
    Sent(u64, Verdict),
    Gone,
}

/// What is known of how a response's body went.
pub(super) enum Verdict {
    /// It was not returned yet.
    Open,
    /// There was nothing to go wrong, or nobody asks any more.
    Well,
    /// What this fed tells.
    Of(Feeder),
}

/// How an operation ended: a code, and how far it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    Completed(u32),
    Dropped(u32),
    Cancelled(u32),
}

impl Verdict {
    /// Whether it was sent, or how many bytes of it were too many or too few; `None` while that is open.
    fn told(&self) -> Option<std::result::Result<(), u64>> {
        match self {
            Self::Open => None,
            Self::Well => Some(Ok(())),
            Self::Of(feeder) => feeder.verdict(),
        }
    }
}

impl Done {
    /// As the guest is told.
    pub(super) fn code(self) -> u32 {
        match self {
            Self::Completed(count) => count << 4,
            Self::Dropped(count) => count << 4 | 1,
            Self::Cancelled(count) => count << 4 | 2,
        }
    }
}

/// What a step of a pipe needs beside it.
pub(super) struct Surroundings<'a, 'c, 'w> {
    pub(super) memory: &'a mut [u8],
    pub(super) incoming: &'a mut Incoming,
    pub(super) fields: &'a mut payload::Fields<'c>,
    pub(super) cx: &'a mut Context<'w>,
}

impl Pipe {
    /// Both ends the guest's.
    pub(super) fn new(is_future: bool, reader: Peer, writer: Peer) -> Self {
        Self { is_future, reader, writer, write: None, read: None }
    }

    /// Whether nobody can use it any more.
    pub(super) fn is_over(&self) -> bool {
        !matches!(self.reader, Peer::Guest(_) | Peer::Held)
            && !matches!(self.writer, Peer::Guest(_) | Peer::Held)
    }

    /// Whether something may happen to it without the guest.
    pub(super) fn is_outside(&self) -> bool {
        let host = |peer: &Peer| !matches!(peer, Peer::Guest(_) | Peer::Held | Peer::Gone);
        self.write.is_some() && host(&self.reader)
            || self.read.is_some() && host(&self.writer)
            || host(&self.reader) && host(&self.writer)
    }

    /// Takes note of what the guest wants, if it may want that.
    pub(super) fn begin(&mut self, memory: &[u8], range: Range, writes: bool) -> Result<()> {
        let (at, length) = range;
        if !self.is_future {
            if length >= MOST {
                bail!(wasmtime::Trap::StreamOpTooBig);
            }
            let end = u64::from(at) + u64::from(length);
            if length > 0 && end > memory.len() as u64 {
                bail!("pointer/length out of bounds of memory");
            }
        }
        *(if writes { &mut self.write } else { &mut self.read }) = Some(range);
        Ok(())
    }

    /// Does what can be done: how the guest's write ended, and its read.
    pub(super) fn step(
        &mut self,
        around: &mut Surroundings<'_, '_, '_>,
    ) -> Result<(Option<Done>, Option<Done>)> {
        let (mut written, mut read) = (None, None);
        if let Some(range) = self.write
            && !matches!(self.writer, Peer::Gone)
        {
            written = self.write_out(range, around)?;
        }
        if let (Some(range), None) = (self.read, written) {
            read = self.read_in(range, around)?;
        }
        if let (Peer::RequestTrailers, Peer::Trailers(feeder)) = (&self.writer, &self.reader)
            && let Some(trailers) = around.incoming.trailers()
        {
            // From the request to the response, past the guest.
            feeder.trailers(trailers);
            (self.reader, self.writer) = (Peer::Gone, Peer::Gone);
        }
        if let (Some(from), Some(to)) = (self.write, self.read)
            && written.is_none()
            && read.is_none()
            && let (Peer::Guest(_), Peer::Guest(_)) = (&self.writer, &self.reader)
        {
            (written, read) = self.across(around.memory, from, to)?;
        }
        if written.is_some() {
            self.write = None;
        }
        if read.is_some() {
            self.read = None;
        }
        Ok((written, read))
    }

    fn write_out(
        &mut self,
        (at, length): Range,
        around: &mut Surroundings<'_, '_, '_>,
    ) -> Result<Option<Done>> {
        Ok(match &mut self.reader {
            Peer::Gone => Some(Done::Dropped(0)),
            Peer::Body(feeder) => {
                let bytes = target(around.memory, at, 1, length as usize)?;
                match feeder.take(bytes, around.cx) {
                    Poll::Ready(Taken::Bytes(count)) => Some(Done::Completed(u32::try_from(count)?)),
                    Poll::Ready(Taken::Gone) => {
                        feeder.close();
                        self.reader = Peer::Gone;
                        Some(Done::Dropped(0))
                    }
                    Poll::Pending => None,
                }
            }
            Peer::Trailers(feeder) => {
                feeder.trailers(payload::trailers(around.memory, at, around.fields)?);
                Some(Done::Completed(0))
            }
            Peer::Ignored => Some(Done::Completed(0)),
            _ => None,
        })
    }

    fn read_in(
        &mut self,
        (at, length): Range,
        around: &mut Surroundings<'_, '_, '_>,
    ) -> Result<Option<Done>> {
        Ok(match &self.writer {
            Peer::Gone => Some(Done::Dropped(0)),
            Peer::Request => {
                let room = target(around.memory, at, 1, length as usize)?;
                match around.incoming.read(room, around.cx) {
                    Poll::Ready(Some(count)) => Some(Done::Completed(u32::try_from(count)?)),
                    Poll::Ready(None) => {
                        self.writer = Peer::Gone;
                        Some(Done::Dropped(0))
                    }
                    Poll::Pending => None,
                }
            }
            Peer::RequestTrailers => match around.incoming.trailers() {
                Some(trailers) => {
                    payload::write_trailers(around.memory, at, trailers, around.fields)?;
                    Some(Done::Completed(0))
                }
                None => None,
            },
            Peer::Sent(_, verdict) => match verdict.told() {
                Some(sent) => {
                    payload::write_sent(around.memory, at, sent)?;
                    Some(Done::Completed(0))
                }
                None => None,
            },
            _ => None,
        })
    }

    /// From one place of the guest's memory to another.
    fn across(&self, memory: &mut [u8], from: Range, to: Range) -> Result<(Option<Done>, Option<Done>)> {
        if self.is_future {
            bail!("cannot read from and write to intra-component future with non-numeric payload");
        }
        let count = from.1.min(to.1);
        if count == 0 {
            // Whoever asks for nothing asks whether the other one is there; the other one goes on waiting.
            let done = Some(Done::Completed(0));
            return Ok(if from.1 == 0 { (done, None) } else { (None, done) });
        }
        let (start, length) = (from.0 as usize, count as usize);
        target(memory, to.0, 1, length)?;
        memory.get(start..start + length).context("pointer/length out of bounds of memory")?;
        memory.copy_within(start..start + length, to.0 as usize);
        Ok((Some(Done::Completed(count)), Some(Done::Completed(count))))
    }
}
