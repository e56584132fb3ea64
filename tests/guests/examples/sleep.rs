//! Sleeps through a pollable of the host, for ever or for `?ms=`, and then answers. It must never burn an instruction.

use guests::wasip2::http::types::{IncomingRequest, ResponseOutparam};

guests::guest!(handle);

fn handle(request: &IncomingRequest, answer: ResponseOutparam) {
    match guests::number(request, "ms") {
        Some(ms) => guests::sleep_ms(ms),
        None => loop {
            guests::sleep_ms(3_600_000);
        },
    }
    guests::respond(answer, 200, "slept");
}
