//! Hands a string of `?kib=` KiB (3072) to the host again and again for ever: each is copied before the host can refuse
//! it as a header's value. It must never keep what the host gives back.

use guests::wasip2::http::types::{Fields, IncomingRequest, ResponseOutparam};

guests::guest!(handle);

fn handle(request: &IncomingRequest, _answer: ResponseOutparam) {
    let kib = guests::number(request, "kib").and_then(|kib| usize::try_from(kib).ok());
    let giant = vec![b'x'; kib.unwrap_or(3072) * 1024];
    loop {
        let _ = Fields::new().append("x-giant", &giant);
    }
}
