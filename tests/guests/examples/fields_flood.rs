//! Puts a million fields into the head of its answer. It must never stop before the host refuses one, and then it says
//! how many it could put.

use guests::wasip2::http::types::{Fields, IncomingRequest, OutgoingResponse, ResponseOutparam};

guests::guest!(handle);

fn handle(_request: &IncomingRequest, answer: ResponseOutparam) {
    let fields = Fields::new();
    for n in 0..1_000_000 {
        if let Err(error) = fields.append(&format!("x-flood-{n}"), b"a value of some length") {
            return guests::respond(answer, 200, &format!("refused after {n}: {error:?}"));
        }
    }
    ResponseOutparam::set(answer, Ok(OutgoingResponse::new(fields)));
}
