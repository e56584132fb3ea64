//! The one call of a function: from the host's handles to the user's types and back. It must never allocate, format or
//! panic by itself, because every function carries what this file links.

use wasip2::http::types::{IncomingRequest, ResponseOutparam};

use crate::reply::{Reply, Responder};
use crate::request::{FromRequest, Incoming};

/// What [`handler!`](crate::handler!) takes: a function of nothing, or of one value made from the request, that gives
/// a [`Reply`]. Implemented for all of these, and not for anybody to implement.
pub trait Handler<Arguments> {
    /// Calls the function and sends what it gives.
    fn call(self, incoming: Incoming, responder: Responder);
}

impl<F, R> Handler<()> for F
where
    F: FnOnce() -> R,
    R: Reply,
{
    fn call(self, incoming: Incoming, responder: Responder) {
        drop(incoming);
        self().reply(responder);
    }
}

impl<F, A, R> Handler<(A,)> for F
where
    F: FnOnce(A) -> R,
    A: FromRequest,
    R: Reply,
{
    fn call(self, incoming: Incoming, responder: Responder) {
        match A::from_request(incoming) {
            Ok(argument) => self(argument).reply(responder),
            Err(error) => error.reply(responder),
        }
    }
}

/// Serves one request.
pub fn run<A>(handler: impl Handler<A>, request: IncomingRequest, answer: ResponseOutparam) {
    handler.call(Incoming::new(request), Responder::new(answer));
}
