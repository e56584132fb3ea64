//! Answers with a body that never ends, as fast as the host takes it. It must never stop before the host closes the
//! stream.

use guests::wasip2::http::types::{IncomingRequest, ResponseOutparam};

guests::guest!(handle);

fn handle(_request: &IncomingRequest, answer: ResponseOutparam) {
    let answer = guests::begin(answer, 200, &[]);
    let chunk = vec![b'x'; 64 * 1024];
    while answer.write(&chunk).is_ok() {}
    answer.finish();
}
