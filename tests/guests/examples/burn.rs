//! Computes for `ms` milliseconds before its head and again before each of `chunks` chunks. It must end well, late.

use guests::wasip2::clocks::monotonic_clock;
use guests::wasip2::http::types::{IncomingRequest, ResponseOutparam};

guests::guest!(handle);

fn handle(request: &IncomingRequest, answer: ResponseOutparam) {
    let ms = guests::number(request, "ms").unwrap_or(0);
    burn(ms);
    let answer = guests::begin(answer, 200, &[]);
    for number in 0..guests::number(request, "chunks").unwrap_or(1) {
        burn(ms);
        let _ = answer.write(format!("chunk {number}\n").as_bytes());
        let _ = answer.flush();
    }
    answer.finish();
}

fn burn(ms: u64) {
    let end = monotonic_clock::now() + ms * 1_000_000;
    while monotonic_clock::now() < end {
        for turn in 0..1_000_u32 {
            std::hint::black_box(turn);
        }
    }
}
