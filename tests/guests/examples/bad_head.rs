//! Answers with a head that is wrong in the way of `?case=`: `short` and `long` (a content-length below and above the
//! body), `two-lengths`, `not-a-number`, or a header that is not the guest's to send (`connection`, `keep-alive`,
//! `transfer-encoding`, `upgrade`, `host`, `newline`, `space`). Computes for `&ms=` milliseconds before its body and
//! after it. It must never hide a refusal: that is a 200 `refused`.

use guests::wasip2::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

const BODY: &[u8] = b"0123456789";

guests::guest!(handle);

fn handle(request: &IncomingRequest, answer: ResponseOutparam) {
    let case = guests::query(request, "case").unwrap_or_default();
    let headers: &[(&str, &str)] = match case.as_str() {
        "short" => &[("content-length", "5")],
        "long" => &[("content-length", "20")],
        "two-lengths" => &[("content-length", "10"), ("content-length", "11")],
        "not-a-number" => &[("content-length", "ten")],
        "connection" => &[("connection", "close")],
        "keep-alive" => &[("keep-alive", "timeout=5")],
        "transfer-encoding" => &[("transfer-encoding", "chunked")],
        "upgrade" => &[("upgrade", "websocket")],
        "host" => &[("host", "elsewhere.test")],
        "newline" => &[("x-split", "a\r\nset-cookie: stolen=1")],
        "space" => &[("x split", "a")],
        _ => return guests::respond(answer, 400, "no such case"),
    };
    let fields = Fields::new();
    for (name, value) in headers {
        if let Err(error) = fields.append(name, value.as_bytes()) {
            return guests::respond(answer, 200, &format!("refused: {error:?}"));
        }
    }
    let response = OutgoingResponse::new(fields);
    let Ok(body) = response.body() else { return };
    ResponseOutparam::set(answer, Ok(response));
    let ms = guests::number(request, "ms").unwrap_or(0);
    guests::burn(ms);
    if let Ok(stream) = body.write() {
        let _ = stream.blocking_write_and_flush(BODY);
    }
    guests::burn(ms);
    let _ = OutgoingBody::finish(body, None);
}
