//! Bodies: bytes that are there, bytes that arrive, bytes still to be written. A body in flight must never be gathered
//! in memory unless the function asks for that, and then only up to a limit that it names.

use std::borrow::Cow;
use std::io;

use http::StatusCode;
use wasip2::http::types::{IncomingBody, IncomingRequest};
use wasip2::io::streams::{InputStream, OutputStream, StreamError};

use crate::error::Error;

/// The most bytes that `blocking-write-and-flush` takes at once, by the definition of `wasi:io`.
pub(crate) const ONE_WRITE: usize = 4096;

/// How much is asked of an arriving body where nobody says: the usual size of a host's own chunks.
const CHUNK: usize = 64 * 1024;

/// The body of a request or a response.
///
/// # Reading
/// [`next`](Self::next) gives the chunks as they arrive, [`bytes`](Self::bytes) and [`text`](Self::text) wait for all
/// of them; `std::io::Read` works too.
///
/// # Writing
/// A body is made from text or bytes, is the body of the request, or is [written by a closure](Self::stream).
///
/// ```
/// use spawnpoint_sdk::Body;
///
/// let mut body = Body::from("abc");
/// assert_eq!(body.next().unwrap().as_deref(), Some(&b"abc"[..]));
/// assert_eq!(body.next().unwrap(), None);
/// ```
pub struct Body(Inner);

enum Inner {
    /// The bytes, and how many of them have been read.
    Whole(Cow<'static, [u8]>, usize),
    /// Not opened before it is read: most requests have no body, and each handle costs a call to the host.
    Unopened(IncomingRequest, Option<u64>),
    /// The stream is a child of the body, so it stands, and is dropped, before it.
    Open(InputStream, IncomingBody),
    Written(Box<Write>),
}

type Write = dyn FnOnce(&mut Writer) -> Result<(), Error>;

/// Where a response's body is written, piece by piece. It also is a `std::io::Write`.
pub struct Writer(OutputStream);

impl Body {
    /// No bytes at all.
    #[must_use]
    pub fn empty() -> Self {
        Self::from(&[][..])
    }

    /// A body that `write` writes once the head is on its way. Where it fails, the body breaks off, which the client
    /// sees, and the error goes to the log.
    ///
    /// ```
    /// use spawnpoint_sdk::{Body, Response};
    ///
    /// fn count() -> Response {
    ///     Response::new(Body::stream(|out| {
    ///         for n in 1..=3 {
    ///             out.write(format!("{n}\n").as_bytes())?;
    ///             out.flush()?;
    ///         }
    ///         Ok(())
    ///     }))
    /// }
    /// ```
    pub fn stream(write: impl FnOnce(&mut Writer) -> Result<(), Error> + 'static) -> Self {
        Self(Inner::Written(Box::new(write)))
    }

    pub(crate) fn incoming(request: IncomingRequest, length: Option<u64>) -> Self {
        Self(Inner::Unopened(request, length))
    }

    /// The number of bytes, where it is known before they are read.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        match &self.0 {
            Inner::Whole(bytes, read) => Some((bytes.len() - read) as u64),
            Inner::Unopened(_, length) => *length,
            Inner::Open(..) | Inner::Written(_) => None,
        }
    }

    /// The next chunk, as soon as there is one; `None` at the end. Never an empty chunk.
    ///
    /// # Errors
    /// When the client broke off, or when this is a body made by [`stream`](Self::stream), which only the host can read.
    #[expect(clippy::should_implement_trait, reason = "an iterator would go on after an error")]
    pub fn next(&mut self) -> Result<Option<Vec<u8>>, Error> {
        self.at_most(CHUNK)
    }

    /// All bytes, once the last has arrived.
    ///
    /// # Errors
    /// When the client broke off, or when there are more than `limit`: 413.
    pub fn bytes(mut self, limit: usize) -> Result<Vec<u8>, Error> {
        let too_large = || Error::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large");
        if self.length().is_some_and(|length| length > limit as u64) {
            return Err(too_large());
        }
        let mut all = Vec::new();
        while let Some(chunk) = self.next()? {
            if chunk.len() > limit - all.len() {
                return Err(too_large());
            }
            // The usual body is one chunk, and needs no copy.
            if all.is_empty() {
                all = chunk;
            } else {
                all.extend_from_slice(&chunk);
            }
        }
        Ok(all)
    }

    /// All bytes as text.
    ///
    /// # Errors
    /// As [`bytes`](Self::bytes), and 400 when it is not UTF-8.
    pub fn text(self, limit: usize) -> Result<String, Error> {
        let refused = |cause| Error::new(StatusCode::BAD_REQUEST, "the body is not UTF-8").caused_by(cause);
        String::from_utf8(self.bytes(limit)?).map_err(refused)
    }

    fn at_most(&mut self, limit: usize) -> Result<Option<Vec<u8>>, Error> {
        self.open()?;
        match &mut self.0 {
            Inner::Whole(bytes, read) => {
                let left = bytes.get(*read..).unwrap_or_default();
                if left.is_empty() {
                    return Ok(None);
                }
                if *read == 0 && left.len() <= limit {
                    return Ok(Some(std::mem::take(bytes).into_owned()));
                }
                let now = left.get(..limit).unwrap_or(left).to_vec();
                *read += now.len();
                Ok(Some(now))
            }
            Inner::Open(stream, _) => loop {
                match stream.blocking_read(limit as u64) {
                    Ok(chunk) if chunk.is_empty() => {}
                    Ok(chunk) => return Ok(Some(chunk)),
                    Err(StreamError::Closed) => return Ok(None),
                    Err(error) => return Err(broken(&error)),
                }
            },
            Inner::Unopened(..) | Inner::Written(_) => Err(unreadable()),
        }
    }

    /// Takes the stream from the request, where that has not happened.
    fn open(&mut self) -> Result<(), Error> {
        if let Inner::Unopened(request, _) = &self.0 {
            let taken = |()| unreadable();
            let body = request.consume().map_err(taken)?;
            let stream = body.stream().map_err(taken)?;
            self.0 = Inner::Open(stream, body);
        }
        Ok(())
    }

    /// Writes the whole body, waiting wherever it has to.
    pub(crate) fn write_to(mut self, writer: &mut Writer) -> Result<(), Error> {
        self.open()?;
        match self.0 {
            Inner::Whole(bytes, read) => {
                writer.write_last(bytes.get(read..).unwrap_or_default()).map_err(|error| broken(&error))
            }
            Inner::Open(stream, body) => {
                let copied = writer.splice(&stream);
                drop(stream);
                drop(body);
                copied
            }
            Inner::Written(write) => {
                write(writer)?;
                match writer.0.blocking_flush() {
                    // As in `splice`: a host may close once it has the length that the head announced.
                    Ok(()) | Err(StreamError::Closed) => Ok(()),
                    Err(error) => Err(broken(&error)),
                }
            }
            Inner::Unopened(..) => Err(unreadable()),
        }
    }
}

impl Writer {
    pub(crate) fn new(stream: OutputStream) -> Self {
        Self(stream)
    }

    /// Hands bytes over to the host, which sends them when it likes; waits only for room.
    ///
    /// # Errors
    /// When the client left, or the host cut the response off.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.push(bytes).map_err(|error| broken(&error))
    }

    /// Waits until everything written is on its way.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn flush(&mut self) -> Result<(), Error> {
        self.0.blocking_flush().map_err(|error| broken(&error))
    }

    /// Writes what is the last of a body and waits until it is on its way: one call to the host where it is small.
    pub(crate) fn write_last(&self, bytes: &[u8]) -> Result<(), StreamError> {
        if bytes.is_empty() {
            Ok(())
        } else if bytes.len() <= ONE_WRITE {
            self.0.blocking_write_and_flush(bytes)
        } else {
            self.push(bytes)?;
            self.0.blocking_flush()
        }
    }

    fn push(&self, mut bytes: &[u8]) -> Result<(), StreamError> {
        while !bytes.is_empty() {
            let room = self.room()?;
            let (now, later) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
            self.0.write(now)?;
            bytes = later;
        }
        Ok(())
    }

    /// Waits until at least one byte may be written.
    fn room(&self) -> Result<usize, StreamError> {
        loop {
            match self.0.check_write()? {
                0 => self.0.subscribe().block(),
                room => return Ok(usize::try_from(room).unwrap_or(usize::MAX)),
            }
        }
    }

    /// Copies what arrives to what leaves inside the host: the bytes never enter the guest's memory.
    fn splice(&mut self, from: &InputStream) -> Result<(), Error> {
        loop {
            match self.0.blocking_splice(from, CHUNK as u64) {
                // Flushed at once: whoever sends piece by piece waits for the pieces that come back. Closed is no
                // failure here, since a host may close as soon as it has the announced length.
                Ok(_) => match self.0.blocking_flush() {
                    Ok(()) => {}
                    Err(StreamError::Closed) => return Ok(()),
                    Err(error) => return Err(broken(&error)),
                },
                Err(StreamError::Closed) => return Ok(()),
                Err(error) => return Err(broken(&error)),
            }
        }
    }
}

/// The other side is gone, so nobody will read this but the log.
fn broken(error: &StreamError) -> Error {
    let why = match error {
        StreamError::Closed => "the stream is closed".to_owned(),
        StreamError::LastOperationFailed(error) => error.to_debug_string(),
    };
    Error::new(StatusCode::BAD_REQUEST, "the body broke off").caused_by(why)
}

fn unreadable() -> Error {
    Error::new(StatusCode::INTERNAL_SERVER_ERROR, "").caused_by("this body cannot be read")
}

impl io::Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let chunk = self.at_most(buffer.len()).map_err(|error| to_io(&error))?.unwrap_or_default();
        // The host gives no more than it was asked for.
        buffer.iter_mut().zip(&chunk).for_each(|(to, from)| *to = *from);
        Ok(chunk.len().min(buffer.len()))
    }
}

impl io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write(bytes).map_err(|error| to_io(&error))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.flush().map_err(|error| to_io(&error))
    }
}

fn to_io(error: &Error) -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, format!("{error:?}"))
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Self(Inner::Whole(Cow::Borrowed(text.as_bytes()), 0))
    }
}

impl From<&'static [u8]> for Body {
    fn from(bytes: &'static [u8]) -> Self {
        Self(Inner::Whole(Cow::Borrowed(bytes), 0))
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self::from(text.into_bytes())
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Inner::Whole(Cow::Owned(bytes), 0))
    }
}

impl From<()> for Body {
    fn from((): ()) -> Self {
        Self::empty()
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::empty()
    }
}

#[cfg(test)]
mod tests;
