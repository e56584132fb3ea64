//! Answers with its arguments and environment variables, `arg VALUE` and `env NAME=VALUE` a line. It must never add one.

use std::fmt::Write as _;

use guests::wasip2::http::types::{IncomingRequest, ResponseOutparam};

guests::guest!(handle);

fn handle(_request: &IncomingRequest, answer: ResponseOutparam) {
    let mut text = String::new();
    for arg in std::env::args() {
        let _ = writeln!(text, "arg {arg}");
    }
    for (name, value) in std::env::vars() {
        let _ = writeln!(text, "env {name}={value}");
    }
    guests::respond(answer, 200, &text);
}
