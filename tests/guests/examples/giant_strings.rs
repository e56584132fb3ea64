//! Hands a string of `?kib=` KiB (3072) to the host again and again for ever, as an authority that it has to read to the
//! end before it can refuse it. It must never say one that is taken.

use guests::wasip2::http::types::{Fields, IncomingRequest, OutgoingRequest, ResponseOutparam};

guests::guest!(handle);

fn handle(request: &IncomingRequest, _answer: ResponseOutparam) {
    let kib = guests::number(request, "kib").and_then(|kib| usize::try_from(kib).ok());
    let mut giant = "x".repeat(kib.unwrap_or(3072) * 1024);
    giant.push(' ');
    let call = OutgoingRequest::new(Fields::new());
    loop {
        let _ = call.set_authority(Some(&giant));
    }
}
