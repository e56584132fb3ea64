//! Opens the request's body, answers 200 and returns. It must never read a byte of that body.

use guests::wasip2::http::types::{IncomingRequest, ResponseOutparam};

guests::guest!(handle);

fn handle(request: &IncomingRequest, answer: ResponseOutparam) {
    let unread = guests::Reader::open(request);
    guests::respond(answer, 200, "not interested");
    drop(unread);
}
