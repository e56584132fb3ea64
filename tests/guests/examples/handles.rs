//! Makes a million handles and keeps them all, then answers. It must never drop one.

use guests::wasip2::http::types::{Fields, IncomingRequest, ResponseOutparam};

guests::guest!(handle);

fn handle(_request: &IncomingRequest, answer: ResponseOutparam) {
    for _ in 0..1_000_000 {
        core::mem::forget(Fields::new());
    }
    guests::respond(answer, 200, "a million handles");
}
