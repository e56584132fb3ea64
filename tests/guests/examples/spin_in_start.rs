//! Loops for ever while it is instantiated: a static constructor runs in `_initialize`, before any request. Its handler
//! must never be reached. `wat/spin_in_start.wat` does the same in the start function of a core module.

use guests::wasip2::http::types::{IncomingRequest, ResponseOutparam};

guests::guest!(handle);

#[used]
#[expect(unsafe_code, reason = "the linker calls what it finds in this section")]
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: extern "C" fn() = construct;

extern "C" fn construct() {
    guests::spin();
}

fn handle(_request: &IncomingRequest, answer: ResponseOutparam) {
    guests::respond(answer, 200, "this was never instantiated");
}
