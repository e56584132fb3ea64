//! Answers 200 `ok` from a core module: the linker leaves the component's types in a custom section instead of making a
//! component. It must never become a component before it is deployed.

use guests::wasip2::http::types::{IncomingRequest, ResponseOutparam};

guests::guest!(handle);

fn handle(_request: &IncomingRequest, answer: ResponseOutparam) {
    guests::respond(answer, 200, "ok");
}
