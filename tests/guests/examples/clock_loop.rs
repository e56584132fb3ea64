//! Asks both clocks what time it is, again and again for ever: nothing is as cheap for a host, nor as often. It must never
//! answer.

use guests::wasip2::clocks::{monotonic_clock, wall_clock};
use guests::wasip2::http::types::{IncomingRequest, ResponseOutparam};

guests::guest!(handle);

fn handle(_request: &IncomingRequest, _answer: ResponseOutparam) {
    loop {
        std::hint::black_box((monotonic_clock::now(), wall_clock::now()));
    }
}
