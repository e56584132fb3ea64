//! Returns without an answer. It must never call `response-outparam.set`.

use guests::wasip2::http::types::{IncomingRequest, ResponseOutparam};

guests::guest!(handle);

fn handle(_request: &IncomingRequest, _answer: ResponseOutparam) {}
