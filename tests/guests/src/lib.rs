//! What the test guests share: the export, the head of an answer, a write that waits for room. It must never hide a
//! misbehaviour: whatever a guest does wrong on purpose stands in the guest's own file.

pub use wasip2;

use wasip2::http::types::{
    Fields, IncomingBody, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam, StatusCode,
};
use wasip2::io::streams::{InputStream, OutputStream, StreamError};

/// Exports `fn(&IncomingRequest, ResponseOutparam)` as the component's handler.
#[macro_export]
macro_rules! guest {
    ($handle:path) => {
        struct Handler;

        impl $crate::wasip2::exports::http::incoming_handler::Guest for Handler {
            fn handle(
                request: $crate::wasip2::http::types::IncomingRequest,
                answer: $crate::wasip2::http::types::ResponseOutparam,
            ) {
                $handle(&request, answer);
            }
        }

        $crate::wasip2::http::proxy::export!(Handler with_types_in $crate::wasip2);
    };
}

/// An answer whose head is on its way and whose body is still open.
pub struct Answer {
    stream: OutputStream,
    body: OutgoingBody,
}

/// A request body that is being read. The stream is dropped before the body that it belongs to.
pub struct Reader {
    stream: InputStream,
    _body: IncomingBody,
}

/// Sends the head and gives the body to write.
///
/// # Panics
/// When the host refuses the status, a header or the body: no test guest means that by accident.
pub fn begin(answer: ResponseOutparam, status: StatusCode, headers: &[(&str, &str)]) -> Answer {
    let fields = Fields::new();
    for (name, value) in headers {
        must(fields.append(name, value.as_bytes()), "append a header");
    }
    let response = OutgoingResponse::new(fields);
    must(response.set_status_code(status), "set the status");
    let body = must(response.body(), "take the body");
    let stream = must(body.write(), "take the stream");
    ResponseOutparam::set(answer, Ok(response));
    Answer { stream, body }
}

/// Sends a whole answer with a right content-length.
pub fn respond(answer: ResponseOutparam, status: StatusCode, text: &str) {
    let length = text.len().to_string();
    let answer = begin(answer, status, &[("content-type", "text/plain"), ("content-length", &length)]);
    // A client that left is the host's business, so the result of the write is nobody's here.
    let _ = answer.write(text.as_bytes());
    answer.finish();
}

impl Answer {
    /// Hands over all the bytes, as many at a time as the host has room for, and does not wait until they left.
    ///
    /// # Errors
    /// When the host closed the stream.
    pub fn write(&self, mut bytes: &[u8]) -> Result<(), StreamError> {
        while !bytes.is_empty() {
            let room = usize::try_from(self.stream.check_write()?).unwrap_or(usize::MAX);
            if room == 0 {
                self.stream.subscribe().block();
                continue;
            }
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.stream.write(now)?;
            bytes = later;
        }
        Ok(())
    }

    /// Waits until everything written has left the guest.
    ///
    /// # Errors
    /// When the host closed the stream.
    pub fn flush(&self) -> Result<(), StreamError> {
        self.stream.blocking_flush()
    }

    /// Ends the body without trailers.
    pub fn finish(self) {
        let _ = self.finish_with(None);
    }

    /// Ends the body; the error is what the host thinks of the whole message, for example of its length.
    ///
    /// # Errors
    /// The host's error code, written out.
    pub fn finish_with(self, trailers: Option<Fields>) -> Result<(), String> {
        let Self { stream, body } = self;
        let flushed = stream.blocking_flush();
        drop(stream);
        OutgoingBody::finish(body, trailers).map_err(|code| format!("{code:?}"))?;
        flushed.map_err(|error| format!("{error:?}"))
    }
}

impl Reader {
    /// Opens the body of the request.
    ///
    /// # Panics
    /// When the body was taken before.
    #[must_use]
    pub fn open(request: &IncomingRequest) -> Self {
        let body = must(request.consume(), "consume the request");
        let stream = must(body.stream(), "take the request's stream");
        Self { stream, _body: body }
    }

    /// The next bytes, at most `max` of them; `None` at the end.
    ///
    /// # Errors
    /// The host's error, written out.
    pub fn read(&self, max: u64) -> Result<Option<Vec<u8>>, String> {
        match self.stream.blocking_read(max) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(StreamError::Closed) => Ok(None),
            Err(StreamError::LastOperationFailed(error)) => Err(error.to_debug_string()),
        }
    }
}

/// The value of `key` in the request's query, as it was written: nothing is decoded.
#[must_use]
pub fn query(request: &IncomingRequest, key: &str) -> Option<String> {
    let target = request.path_with_query()?;
    let (_, query) = target.split_once('?')?;
    let mut pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.find(|(name, _)| *name == key).map(|(_, value)| value.to_owned())
}

/// The number under `key` in the request's query.
#[must_use]
pub fn number(request: &IncomingRequest, key: &str) -> Option<u64> {
    query(request, key)?.parse().ok()
}

/// Sleeps through a host pollable, which costs the guest no instruction.
pub fn sleep_ms(ms: u64) {
    wasip2::clocks::monotonic_clock::subscribe_duration(ms.saturating_mul(1_000_000)).block();
}

/// The value, or a panic that says what the host refused.
///
/// # Panics
/// When the result is an error.
pub fn must<T, E: std::fmt::Debug>(result: Result<T, E>, what: &str) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("the host would not {what}: {error:?}"),
    }
}

/// Computes for this long by the clock on the wall.
pub fn burn(ms: u64) {
    let end = wasip2::clocks::monotonic_clock::now() + ms * 1_000_000;
    while wasip2::clocks::monotonic_clock::now() < end {
        for turn in 0..1_000_u32 {
            std::hint::black_box(turn);
        }
    }
}

/// Loops for ever, without a host call and without being optimised away.
pub fn spin() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = std::hint::black_box(turns.wrapping_add(1));
    }
}
