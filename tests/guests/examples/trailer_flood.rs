//! Puts trailers of `?bytes=` (20) bytes each behind its answer until the host refuses one, or `?n=` (a million) are there;
//! the body says how many. It must never announce more of them in its head than have room there.

use guests::wasip2::http::types::{Fields, IncomingRequest, ResponseOutparam};

guests::guest!(handle);

fn handle(request: &IncomingRequest, answer: ResponseOutparam) {
    let most = guests::number(request, "n").unwrap_or(1_000_000);
    let bytes = guests::number(request, "bytes").and_then(|bytes| usize::try_from(bytes).ok());
    let names: Vec<_> = (0..most.min(50)).map(|n| format!("x-{n}")).collect();
    let answer = guests::begin(answer, 200, &[("trailer", &names.join(", "))]);
    let (trailers, value) = (Fields::new(), vec![b't'; bytes.unwrap_or(20)]);
    let mut put = 0;
    while put < most && trailers.append(&format!("x-{put}"), &value).is_ok() {
        put += 1;
    }
    let _ = answer.write(format!("{put} trailers").as_bytes());
    let _ = answer.finish_with(Some(trailers));
}
