//! Polls a timer of zero for ever: no loop of its own burns the time, the host's calls do. It must never answer.

use guests::wasip2::clocks::monotonic_clock::subscribe_duration;
use guests::wasip2::http::types::{IncomingRequest, ResponseOutparam};
use guests::wasip2::io::poll::poll;

guests::guest!(handle);

fn handle(_request: &IncomingRequest, _answer: ResponseOutparam) {
    loop {
        let now = subscribe_duration(0);
        let _ = poll(&[&now]);
    }
}
