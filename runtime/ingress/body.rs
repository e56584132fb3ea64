//! The body of an answer: whole, or a guest that is still writing it. Holds everything that the call holds.
//! Must never end well when the guest did not: a broken body ends the connection or the stream.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame, SizeHint};
use wasmtime_wasi_http::WasiBody;

use super::flight::Flight;
use super::head;
use super::stint::Stint;
use super::visit::Visit;
use crate::model::outcome::Outcome;

/// Bytes of an answer that are gathered before its head goes out, if the guest has them ready.
const GATHER: usize = 64 * 1024;

/// What hyper sends.
pub enum Body {
    /// All of it; taken when it is sent.
    Whole(Option<Bytes>),
    /// A guest that writes it.
    Guest(Box<GuestBody>),
}

/// The answer broke off. hyper closes the connection, or resets the stream.
#[derive(Debug, thiserror::Error)]
#[error("the answer broke off")]
pub struct Broken;

/// A guest that is still writing.
pub struct GuestBody {
    flight: Rc<Flight>,
    body: WasiBody,
    first: Pieces,
    trailers: Option<http::HeaderMap>,
    sent: u64,
    stint: Stint,
    left: u64,
    declared: Option<u64>,
    body_ended: bool,
    /// Whether hyper has been given all that it wants of this body.
    all_taken: bool,
    /// Whether the client wants no body.
    headless: bool,
}

/// What was gathered: one piece as it came, more of them copied together.
#[derive(Default)]
struct Pieces {
    one: Bytes,
    more: BytesMut,
}

impl Pieces {
    fn push(&mut self, piece: Bytes) {
        if self.is_empty() {
            self.one = piece;
            return;
        }
        let one = std::mem::take(&mut self.one);
        self.more.extend_from_slice(&one);
        self.more.extend_from_slice(&piece);
    }

    fn len(&self) -> usize {
        self.one.len() + self.more.len()
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn take(&mut self) -> Option<Bytes> {
        let Self { one, more } = std::mem::take(self);
        let all = if more.is_empty() { one } else { more.freeze() };
        (!all.is_empty()).then_some(all)
    }
}

/// What came of gathering.
pub enum Gathered {
    /// The guest has ended well and this is all of its answer.
    Whole(Bytes),
    /// There is more to come.
    Streaming,
    /// It failed before anything was sent.
    Failed(Outcome),
}

impl GuestBody {
    /// The body of a call whose head is there. `limit` and `declared` are in bytes.
    #[must_use]
    pub fn new(flight: Rc<Flight>, body: WasiBody, limit: u64, declared: Option<u64>) -> Self {
        Self {
            flight,
            body,
            first: Pieces::default(),
            trailers: None,
            sent: 0,
            stint: Stint::default(),
            left: limit,
            declared,
            body_ended: false,
            all_taken: false,
            headless: false,
        }
    }

    /// Takes what is there without waiting: most answers are whole by now and need no streaming. Pending while a guest
    /// that was only interrupted may still change what the head ought to say.
    pub fn poll_gather(&mut self, cx: &mut Context<'_>) -> Poll<Gathered> {
        while self.first.len() <= GATHER {
            match self.poll_body(cx) {
                Poll::Ready(None) => {
                    return Poll::Ready(Gathered::Whole(self.first.take().unwrap_or_default()));
                }
                Poll::Ready(Some(Err(outcome))) => return Poll::Ready(Gathered::Failed(outcome)),
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => self.first.push(data),
                    Err(frame) => {
                        // Trailers only fit a streamed answer.
                        self.trailers = frame.into_trailers().ok();
                        break;
                    }
                },
                // A head with a length is a promise about all of the body; one without is kept by the first piece.
                Poll::Pending
                    if self.flight.is_computing() && (self.first.is_empty() || self.declared.is_some()) =>
                {
                    return Poll::Pending;
                }
                Poll::Pending => break,
            }
        }
        if self.is_taken(self.trailers.is_some())
            && let Some(outcome) = self.failure(cx)
        {
            return Poll::Ready(Gathered::Failed(outcome));
        }
        Poll::Ready(Gathered::Streaming)
    }

    /// A status without a body: nothing of it is sent, however much the guest writes.
    pub fn send_nothing(&mut self) {
        self.all_taken = true;
    }

    /// Keeps the visit until the body ends.
    pub fn hold(&mut self, visit: Visit) {
        self.headless = visit.wants_no_body();
        self.flight.hold(visit);
    }

    /// What the client is given next.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        if let Some(trailers) = self.trailers.take() {
            self.all_taken = true;
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        ready!(self.stint.poll(self.sent, cx));
        match ready!(self.poll_body(cx)) {
            None => {
                self.end(&Outcome::Completed);
                Poll::Ready(None)
            }
            Some(Ok(frame)) => {
                if self.is_taken(frame.is_trailers())
                    && let Some(outcome) = self.failure(cx)
                {
                    self.end(&outcome);
                    return Poll::Ready(Some(Err(Broken)));
                }
                // Nobody polls a body after its trailers.
                self.all_taken = frame.is_trailers();
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(outcome)) => {
                self.end(&outcome);
                Poll::Ready(Some(Err(Broken)))
            }
        }
    }

    /// The next frame; `None` once body and guest have both ended well.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Outcome>>> {
        if !self.body_ended {
            if let Some(outcome) = self.flight.failure() {
                return Poll::Ready(Some(Err(outcome)));
            }
            // What is there already needs no guest.
            let mut frame = Pin::new(&mut self.body).poll_frame(cx);
            if frame.is_pending() {
                if let Poll::Ready(Err(outcome)) = self.flight.poll_end(cx) {
                    return Poll::Ready(Some(Err(outcome)));
                }
                frame = Pin::new(&mut self.body).poll_frame(cx);
            }
            let accounted = match ready!(frame) {
                Some(frame) => self.account(frame).map(Some),
                None if self.declared.is_some_and(|declared| declared != self.sent) => {
                    Err(self.contradicts_its_head())
                }
                None => Ok(None),
            };
            match accounted {
                Ok(Some(frame)) => return Poll::Ready(Some(Ok(frame))),
                // A guest that fails at once has not finished its body, and that is what went wrong.
                Err(outcome) => return Poll::Ready(Some(Err(self.failure(cx).unwrap_or(outcome)))),
                Ok(None) => self.body_ended = true,
            }
            self.flight.body_is_sent();
        }
        // Whatever the guest still does after its body belongs to the call and is bounded like it.
        match ready!(self.flight.poll_end(cx)) {
            Ok(()) => Poll::Ready(None),
            Err(outcome) => Poll::Ready(Some(Err(outcome))),
        }
    }

    /// How the guest fails when it may go on, if it does at once.
    fn failure(&self, cx: &mut Context<'_>) -> Option<Outcome> {
        match self.flight.poll_end(cx) {
            Poll::Ready(Err(outcome)) => Some(outcome),
            Poll::Ready(Ok(())) | Poll::Pending => None,
        }
    }

    /// Whether nobody asks for more than what has been taken of the body. Its guest may wait for somebody to have done that.
    fn is_taken(&self, trailers: bool) -> bool {
        trailers || self.declared == Some(self.sent)
    }

    fn account(
        &mut self,
        frame: Result<Frame<Bytes>, wasmtime_wasi_http::Error>,
    ) -> Result<Frame<Bytes>, Outcome> {
        let frame = frame.map_err(|error| Outcome::BadResponse(format!("{error:?}")))?;
        let length = frame.data_ref().map_or(0, |data| data.len() as u64);
        self.sent += length;
        self.flight.answer_bytes.set(self.sent);
        self.left = self.left.checked_sub(length).ok_or(Outcome::ResponseTooLarge)?;
        // hyper would send what fits and call it whole.
        if self.declared.is_some_and(|declared| declared < self.sent) {
            return Err(self.contradicts_its_head());
        }
        let mut frame = frame;
        if let Some(trailers) = frame.trailers_mut() {
            head::strip_answer(trailers);
        }
        Ok(frame)
    }

    fn contradicts_its_head(&self) -> Outcome {
        let (declared, sent) = (self.declared.unwrap_or(0), self.sent);
        Outcome::BadResponse(format!("content-length is {declared} and the body has {sent} bytes"))
    }

    fn end(&mut self, outcome: &Outcome) {
        if !matches!(outcome, Outcome::Completed) {
            self.flight.stop(outcome.clone());
        }
        self.flight.tell(outcome);
    }
}

impl Drop for GuestBody {
    fn drop(&mut self) {
        // hyper takes no more than was declared, and nothing after the head of an answer to HEAD.
        let all = self.declared == Some(self.sent) && self.first.is_empty();
        let outcome =
            if all || self.headless || self.all_taken { Outcome::Completed } else { Outcome::ClientGone };
        self.end(&outcome);
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Guest(guest) => {
                let polled = guest.poll_piece(cx);
                // Who is kept waiting by the thread is waited for by nobody: nothing has changed for the guest.
                if polled.is_ready() || !guest.stint.is_over() {
                    guest.flight.client_has_a_piece.set(matches!(polled, Poll::Ready(Some(Ok(_)))));
                }
                polled
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Self::Guest(guest) => guest.all_taken,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            Self::Guest(_) => SizeHint::default(),
        }
    }
}
