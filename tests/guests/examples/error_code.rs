//! Answers with an error code instead of a response: `internal-error`, or `?case=denied`, `timeout`, `loop`. It must
//! never trap: an error code is a clean end.

use guests::wasip2::http::types::{ErrorCode, IncomingRequest, ResponseOutparam};

guests::guest!(handle);

fn handle(request: &IncomingRequest, answer: ResponseOutparam) {
    let code = match guests::query(request, "case").as_deref() {
        Some("denied") => ErrorCode::HttpRequestDenied,
        Some("timeout") => ErrorCode::HttpResponseTimeout,
        Some("loop") => ErrorCode::LoopDetected,
        _ => ErrorCode::InternalError(Some("the guest says no".into())),
    };
    ResponseOutparam::set(answer, Err(code));
}
