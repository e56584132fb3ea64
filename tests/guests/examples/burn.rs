//! Computes for `ms` milliseconds before its head and again before each of `chunks` chunks. It must end well, late.

use guests::wasip2::http::types::{IncomingRequest, ResponseOutparam};

guests::guest!(handle);

fn handle(request: &IncomingRequest, answer: ResponseOutparam) {
    let ms = guests::number(request, "ms").unwrap_or(0);
    guests::burn(ms);
    let answer = guests::begin(answer, 200, &[]);
    for number in 0..guests::number(request, "chunks").unwrap_or(1) {
        guests::burn(ms);
        let _ = answer.write(format!("chunk {number}\n").as_bytes());
        let _ = answer.flush();
    }
    answer.finish();
}
