//! Sends the body of the request back while it arrives, with its content-type. It must never wait for the end of the
//! body, nor hold it: a body of any length passes through the host alone.

use spawnpoint_sdk::http::header::CONTENT_TYPE;
use spawnpoint_sdk::{Error, Request, Response};

fn echo(request: Request) -> Result<Response, Error> {
    let (head, body) = request.into_parts();
    let mut response = Response::new(body);
    if let Some(kind) = head.headers.get(CONTENT_TYPE) {
        response.headers_mut().try_insert(CONTENT_TYPE, kind.clone())?;
    }
    Ok(response)
}

spawnpoint_sdk::handler!(echo);
