//! Answers with a body and a trailer, `x-checksum: 42`, which its head announces. It must never send that as a header.

use guests::wasip2::http::types::{Fields, IncomingRequest, ResponseOutparam};

guests::guest!(handle);

fn handle(_request: &IncomingRequest, answer: ResponseOutparam) {
    let answer = guests::begin(answer, 200, &[("trailer", "x-checksum")]);
    let _ = answer.write(b"a body with a tail\n");
    let trailers = Fields::new();
    guests::must(trailers.append("x-checksum", b"42"), "append a trailer");
    let _ = answer.finish_with(Some(trailers));
}
