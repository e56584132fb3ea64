//! Recurses until the stack ends, on WebAssembly's own stack and not on the one in linear memory. It must never answer.

use guests::wasip2::http::types::{IncomingRequest, ResponseOutparam};

guests::guest!(handle);

fn handle(_request: &IncomingRequest, answer: ResponseOutparam) {
    let depth = dive(std::hint::black_box(1 << 40));
    guests::respond(answer, 200, &depth.to_string());
}

/// A rotation between two sums is no accumulator, so the compiler cannot make a loop of this.
fn dive(left: u64) -> u64 {
    if left == 0 { 1 } else { dive(left - 1).rotate_left(7).wrapping_add(left) }
}
