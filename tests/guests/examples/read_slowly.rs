//! Reads the request's body `?n=` bytes (1) each `?ms=` (100) and then answers with the number of bytes. It must never
//! read ahead.

use guests::wasip2::http::types::{IncomingRequest, ResponseOutparam};

guests::guest!(handle);

fn handle(request: &IncomingRequest, answer: ResponseOutparam) {
    let step = guests::number(request, "n").unwrap_or(1);
    let pause = guests::number(request, "ms").unwrap_or(100);
    let body = guests::Reader::open(request);
    let mut total = 0;
    loop {
        match body.read(step) {
            Ok(Some(bytes)) => total += bytes.len(),
            Ok(None) => break,
            Err(error) => return guests::respond(answer, 400, &error),
        }
        guests::sleep_ms(pause);
    }
    guests::respond(answer, 200, &total.to_string());
}
