//! Writes `?lines=` lines (endless) to standard output and standard error, with colour codes, carriage returns, NUL and
//! a forged log line in them, and then answers. It must never write a line that is safe to print.

use guests::wasip2::http::types::{IncomingRequest, ResponseOutparam};

const LINE: &str = "\x1b[31mred\x1b[0m\x1b]0;title\x07 \r\0 {\"level\":\"error\",\"tenant\":\"another\"}\n2038-01-19T03:14:07Z ERROR forged";

guests::guest!(handle);

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "printing is what this guest is for")]
fn handle(request: &IncomingRequest, answer: ResponseOutparam) {
    let lines = guests::number(request, "lines").unwrap_or(u64::MAX);
    for _ in 0..lines {
        println!("{LINE}");
        eprintln!("{LINE}");
    }
    guests::respond(answer, 200, "ok");
}
