//! Panics as Rust code does: a message on standard error, then a trap. It must never answer.

use guests::wasip2::http::types::{IncomingRequest, ResponseOutparam};

guests::guest!(handle);

fn handle(_request: &IncomingRequest, _answer: ResponseOutparam) {
    panic!("this guest panics on purpose");
}
