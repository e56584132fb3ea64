//! Loops for ever in the handler without a single host call. It must never answer.

use guests::wasip2::http::types::{IncomingRequest, ResponseOutparam};

guests::guest!(handle);

fn handle(_request: &IncomingRequest, _answer: ResponseOutparam) {
    guests::spin();
}
