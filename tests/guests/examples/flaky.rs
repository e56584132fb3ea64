//! Fails when it is asked for the first time and answers when it is asked again: `?fails=spin` by looping, `?fails=always`
//! again and again, else by a trap. It answers with the bytes of its body.

use guests::wasip2::http::types::{IncomingRequest, ResponseOutparam};

guests::guest!(handle);

fn handle(request: &IncomingRequest, answer: ResponseOutparam) {
    let again = !request.headers().get("x-spawnpoint-attempt").is_empty();
    let fails = guests::query(request, "fails").unwrap_or_default();
    if !again || fails == "always" {
        if fails == "spin" {
            guests::spin();
        }
        core::arch::wasm32::unreachable();
    }
    let body = guests::Reader::open(request);
    let mut bytes = 0;
    while let Ok(Some(piece)) = body.read(4_096) {
        bytes += piece.len();
    }
    guests::respond(answer, 200, &bytes.to_string());
}
