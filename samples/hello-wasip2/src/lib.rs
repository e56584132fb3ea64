//! Answers `Hello, World!` on the plain `wasip2` bindings: the smallest function there is, and the subject of the
//! benchmarks. It must never panic: one reachable panic links the standard library's printing and grows the
//! component from 22 KB and 3 imports to 75 KB and a dozen, which every instantiation pays for.

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};

const TEXT: &[u8] = b"Hello, World!\n";

struct Hello;

wasip2::http::proxy::export!(Hello);

impl Guest for Hello {
    fn handle(_request: IncomingRequest, answer: ResponseOutparam) {
        // `append` twice rather than `from_list` once: the list's lowering can panic, the two calls cannot.
        let head = Fields::new();
        let _ = head.append("content-type", b"text/plain");
        let _ = head.append("content-length", b"14");
        let response = OutgoingResponse::new(head);
        let Ok(body) = response.body() else { return };
        // The head leaves before the body is written, so that a host can send both in one packet or stream.
        ResponseOutparam::set(answer, Ok(response));
        let Ok(stream) = body.write() else { return };
        let _ = stream.blocking_write_and_flush(TEXT);
        // The stream is a child of the body: finishing the body while it lives is a trap.
        drop(stream);
        let _ = OutgoingBody::finish(body, None);
    }
}
