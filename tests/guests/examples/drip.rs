//! Sends the head at once and then one byte each 100 ms for ever. It must never send two bytes together.

use guests::wasip2::http::types::{IncomingRequest, ResponseOutparam};

guests::guest!(handle);

fn handle(_request: &IncomingRequest, answer: ResponseOutparam) {
    let answer = guests::begin(answer, 200, &[]);
    while answer.write(b".").and_then(|()| answer.flush()).is_ok() {
        guests::sleep_ms(100);
    }
    answer.finish();
}
