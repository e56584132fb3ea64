//! Takes `?mib=` MiB, says so in its head, and keeps them until its time is up; traps if they are refused. It must never
//! give any of them back.

use guests::wasip2::http::types::{IncomingRequest, ResponseOutparam};

guests::guest!(handle);

fn handle(request: &IncomingRequest, answer: ResponseOutparam) {
    let mib = guests::number(request, "mib").unwrap_or(1);
    let mut taken: Vec<Vec<u8>> = Vec::new();
    for _ in 0..mib {
        let mut piece = Vec::new();
        if piece.try_reserve_exact(1 << 20).is_err() {
            core::arch::wasm32::unreachable();
        }
        piece.resize(1 << 20, 1);
        taken.push(std::hint::black_box(piece));
    }
    let answer = guests::begin(answer, 200, &[]);
    while answer.write(b".").and_then(|()| answer.flush()).is_ok() {
        guests::sleep_ms(100);
    }
    drop(taken);
    answer.finish();
}
