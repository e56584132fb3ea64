//! Ends its process with `std::process::exit`, code 0 or `?code=`, without an answer. It must never return.

use guests::wasip2::http::types::{IncomingRequest, ResponseOutparam};

guests::guest!(handle);

fn handle(request: &IncomingRequest, _answer: ResponseOutparam) {
    let code = guests::number(request, "code").and_then(|n| i32::try_from(n).ok());
    std::process::exit(code.unwrap_or(0));
}
