//! Traps with the `unreachable` instruction before it answers. It must never print: a trap has no words of its own.

use guests::wasip2::http::types::{IncomingRequest, ResponseOutparam};

guests::guest!(handle);

fn handle(_request: &IncomingRequest, _answer: ResponseOutparam) {
    core::arch::wasm32::unreachable();
}
