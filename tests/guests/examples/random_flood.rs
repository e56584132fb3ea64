//! Asks the host for `?n=` (one GiB) random bytes in one call and answers with the number it got. It must never ask twice.

use guests::wasip2::http::types::{IncomingRequest, ResponseOutparam};

guests::guest!(handle);

fn handle(request: &IncomingRequest, answer: ResponseOutparam) {
    let count = guests::number(request, "n").unwrap_or(1 << 30);
    let bytes = guests::wasip2::random::random::get_random_bytes(count);
    guests::respond(answer, 200, &bytes.len().to_string());
}
