//! Answers with what it was asked, a line each: method, path-with-query, scheme, authority, then `header NAME: VALUE`.
//! It must never sort, merge or drop a header: tests read here what the host let through.

use std::fmt::Write as _;

use guests::wasip2::http::types::{IncomingRequest, Method, ResponseOutparam, Scheme};

guests::guest!(handle);

fn handle(request: &IncomingRequest, answer: ResponseOutparam) {
    let mut text = String::new();
    let method = match request.method() {
        Method::Get => "GET".into(),
        Method::Head => "HEAD".into(),
        Method::Post => "POST".into(),
        Method::Put => "PUT".into(),
        Method::Delete => "DELETE".into(),
        Method::Connect => "CONNECT".into(),
        Method::Options => "OPTIONS".into(),
        Method::Trace => "TRACE".into(),
        Method::Patch => "PATCH".into(),
        Method::Other(name) => name,
    };
    let scheme = match request.scheme() {
        Some(Scheme::Http) => "http".into(),
        Some(Scheme::Https) => "https".into(),
        Some(Scheme::Other(name)) => name,
        None => "-".into(),
    };
    let path = request.path_with_query().unwrap_or_else(|| "-".into());
    let authority = request.authority().unwrap_or_else(|| "-".into());
    let _ = write!(text, "method {method}\npath {path}\nscheme {scheme}\nauthority {authority}\n");
    for (name, value) in request.headers().entries() {
        let _ = writeln!(text, "header {name}: {}", String::from_utf8_lossy(&value));
    }
    guests::respond(answer, 200, &text);
}
