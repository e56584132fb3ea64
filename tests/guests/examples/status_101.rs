//! Answers with a status that no final answer may have: 101, or `?status=`. Where the host refuses the status, it must
//! say so in a 200 and never trap.

use guests::wasip2::http::types::{Fields, IncomingRequest, OutgoingResponse, ResponseOutparam};

guests::guest!(handle);

fn handle(request: &IncomingRequest, answer: ResponseOutparam) {
    let status = guests::number(request, "status").and_then(|n| u16::try_from(n).ok());
    let response = OutgoingResponse::new(Fields::new());
    if response.set_status_code(status.unwrap_or(101)).is_err() {
        guests::respond(answer, 200, "refused");
        return;
    }
    ResponseOutparam::set(answer, Ok(response));
}
