//! Answers `Hello, World!` over wasi:http 0.3, where a handler is an asynchronous function that returns its response and
//! goes on writing the body. It must never wait for the body before it returns: nobody reads one before there is a head.

use wasip3::exports::http::handler::Guest;
use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::{wit_bindgen, wit_future, wit_stream};

const TEXT: &[u8] = b"Hello, World!\n";

struct Hello;

wasip3::http::service::export!(Hello);

impl Guest for Hello {
    async fn handle(_request: Request) -> Result<Response, ErrorCode> {
        let head = Fields::new();
        let _ = head.append("content-type", b"text/plain");
        let _ = head.append("content-length", b"14");
        let (mut text, body) = wit_stream::new();
        // Dropped unwritten, it resolves to its default: no trailers.
        let (_, trailers) = wit_future::new(|| Ok(None));
        let (response, _) = Response::new(head, Some(body), trailers);
        wit_bindgen::spawn_local(async move {
            // What could not be written is what the client did not want.
            let _ = text.write_all(TEXT.to_vec()).await;
        });
        Ok(response)
    }
}
