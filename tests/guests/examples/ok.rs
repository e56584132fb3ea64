//! Answers 200 `ok`. It must never read the request or do anything else: it is the guest that other tests compare with.

use guests::wasip2::http::types::{IncomingRequest, ResponseOutparam};

guests::guest!(handle);

fn handle(_request: &IncomingRequest, answer: ResponseOutparam) {
    guests::respond(answer, 200, "ok");
}
