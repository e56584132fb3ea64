//! Answers with `?n=` (one million) bytes of `x`, and with their content-length unless `?chunked`. It must never write
//! more or fewer.

use guests::wasip2::http::types::{IncomingRequest, ResponseOutparam};

const CHUNK: usize = 64 * 1024;

guests::guest!(handle);

fn handle(request: &IncomingRequest, answer: ResponseOutparam) {
    let count = guests::number(request, "n").unwrap_or(1_000_000);
    let length = count.to_string();
    let headers = [("content-length", length.as_str())];
    let known = guests::query(request, "chunked").is_none();
    let answer = guests::begin(answer, 200, if known { &headers } else { &[] });
    let chunk = vec![b'x'; CHUNK];
    let mut left = usize::try_from(count).unwrap_or(usize::MAX);
    while left > 0 {
        let now = left.min(CHUNK);
        if answer.write(&chunk[..now]).is_err() {
            return;
        }
        left -= now;
    }
    answer.finish();
}
