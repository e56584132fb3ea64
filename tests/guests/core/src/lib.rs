//! Answers 200 `ok` from a core module: the linker leaves the component's types in a custom section instead of making a
//! component; with `?trap` it traps, on a line that a test looks for. It must never become a component before it is
//! deployed.

use guests::wasip2::http::types::{IncomingRequest, ResponseOutparam};

guests::guest!(handle);

fn handle(request: &IncomingRequest, answer: ResponseOutparam) {
    if guests::query(request, "trap").is_some() {
        core::arch::wasm32::unreachable(); // the line of the trap
    }
    guests::respond(answer, 200, "ok");
}
