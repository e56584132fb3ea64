//! Traps in a function of its own, on a line that a test looks for. It must never be stripped: its debug information is
//! what this package is for, and only a package of its own keeps that away from the other guests.

use guests::wasip2::http::types::{IncomingRequest, ResponseOutparam};

guests::guest!(handle);

fn handle(_request: &IncomingRequest, _answer: ResponseOutparam) {
    std::hint::black_box(traps(std::hint::black_box(3)));
}

#[inline(never)]
fn traps(depth: u32) -> u32 {
    if depth > 0 {
        return traps(depth - 1) * 3 + 1; // the line of the call
    }
    inlined(depth)
}

#[inline]
fn inlined(depth: u32) -> u32 {
    if std::hint::black_box(depth) == 0 {
        fails(); // the line of what fails
    }
    depth
}

#[inline(never)]
fn fails() {
    core::arch::wasm32::unreachable();
}
