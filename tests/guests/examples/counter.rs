//! Answers with the number of calls that this instance has seen: `1` says that it is fresh. With `?trap` it counts and
//! then traps. It must never reset.

use std::sync::atomic::{AtomicU64, Ordering};

use guests::wasip2::http::types::{IncomingRequest, ResponseOutparam};

static CALLS: AtomicU64 = AtomicU64::new(0);

guests::guest!(handle);

fn handle(request: &IncomingRequest, answer: ResponseOutparam) {
    let calls = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
    if guests::query(request, "trap").is_some() {
        core::arch::wasm32::unreachable();
    }
    guests::respond(answer, 200, &calls.to_string());
}
