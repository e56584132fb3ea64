//! Sends the head and a first chunk and then traps, so that the client must see a body that broke off. It must never
//! finish the body.

use guests::wasip2::http::types::{IncomingRequest, ResponseOutparam};

guests::guest!(handle);

fn handle(_request: &IncomingRequest, answer: ResponseOutparam) {
    let answer = guests::begin(answer, 200, &[]);
    let _ = answer.write(b"the first chunk\n");
    let _ = answer.flush();
    core::arch::wasm32::unreachable();
}
