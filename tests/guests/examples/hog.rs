//! Takes memory, one touched MiB after the other, until the host refuses, and then traps: what a program out of memory
//! does. `?answer` makes it say how far it came instead. It must never be satisfied.

use guests::wasip2::http::types::{IncomingRequest, ResponseOutparam};

const MIB: usize = 1 << 20;

guests::guest!(handle);

fn handle(request: &IncomingRequest, answer: ResponseOutparam) {
    let mut taken: Vec<Vec<u8>> = Vec::new();
    loop {
        let mut piece = Vec::new();
        if taken.try_reserve(1).is_err() || piece.try_reserve_exact(MIB).is_err() {
            break;
        }
        // Not zero, so that every page is written and none can stay shared with the zero page.
        piece.resize(MIB, 0xa5);
        taken.push(std::hint::black_box(piece));
    }
    let count = taken.len();
    if guests::query(request, "answer").is_none() {
        core::arch::wasm32::unreachable();
    }
    drop(taken);
    guests::respond(answer, 200, &format!("refused after {count} MiB"));
}
