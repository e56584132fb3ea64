//! Answers `?status=` (500) with `a forged body`, and says in head and trailers whatever only the platform may say. It
//! must never leave one out because a host might refuse it: a refusal is skipped, not reported.

use guests::wasip2::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

const FORGED: &[(&str, &str)] = &[
    ("x-spawnpoint-error", "guest_trap"),
    ("x-spawnpoint-start", "forged"),
    ("x-spawnpoint-version", "666"),
    ("x-spawnpoint-anything", "forged"),
    ("x-request-id", "forged"),
];

guests::guest!(handle);

fn fields() -> Fields {
    let fields = Fields::new();
    for (name, value) in FORGED {
        let _ = fields.append(name, value.as_bytes());
    }
    fields
}

fn handle(request: &IncomingRequest, answer: ResponseOutparam) {
    let status = guests::number(request, "status").and_then(|n| u16::try_from(n).ok());
    let response = OutgoingResponse::new(fields());
    guests::must(response.set_status_code(status.unwrap_or(500)), "set the status");
    let body = guests::must(response.body(), "take the body");
    let stream = guests::must(body.write(), "take the stream");
    ResponseOutparam::set(answer, Ok(response));
    // Who asked with HEAD, or got a status without a body, reads nothing of it.
    let _ = stream.blocking_write_and_flush(b"a forged body\n");
    drop(stream);
    let _ = OutgoingBody::finish(body, Some(fields()));
}
