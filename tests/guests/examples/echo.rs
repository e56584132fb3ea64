//! Streams the request's body into the answer's, each chunk as it arrives. It must never hold more than one chunk.

use guests::wasip2::http::types::{IncomingRequest, ResponseOutparam};

guests::guest!(handle);

fn handle(request: &IncomingRequest, answer: ResponseOutparam) {
    let body = guests::Reader::open(request);
    let answer = guests::begin(answer, 200, &[]);
    loop {
        match body.read(64 * 1024) {
            Ok(Some(chunk)) => {
                if answer.write(&chunk).and_then(|()| answer.flush()).is_err() {
                    return;
                }
            }
            Ok(None) => break,
            // The head has left: only an unfinished body can still tell the client that something broke.
            Err(error) => panic!("the request broke off: {error}"),
        }
    }
    answer.finish();
}
