//! Sends a GET to the authority in `?to=` (`?path=`, `?scheme=https`) and answers `status N` or `error CODE`. It must
//! never retry: tests count what leaves the host.

use guests::wasip2::http::outgoing_handler;
use guests::wasip2::http::types::{
    ErrorCode, Fields, IncomingRequest, OutgoingRequest, ResponseOutparam, Scheme,
};

guests::guest!(handle);

fn handle(request: &IncomingRequest, answer: ResponseOutparam) {
    let text = match call(request) {
        Ok(status) => format!("status {status}"),
        Err(code) => format!("error {code:?}"),
    };
    guests::respond(answer, 200, &text);
}

fn call(request: &IncomingRequest) -> Result<u16, ErrorCode> {
    let refused = |()| ErrorCode::HttpRequestUriInvalid;
    let secure = guests::query(request, "scheme").as_deref() == Some("https");
    let scheme = if secure { Scheme::Https } else { Scheme::Http };
    let path = guests::query(request, "path").unwrap_or_else(|| "/".into());
    let call = OutgoingRequest::new(Fields::new());
    call.set_scheme(Some(&scheme)).map_err(refused)?;
    call.set_authority(guests::query(request, "to").as_deref()).map_err(refused)?;
    call.set_path_with_query(Some(&path)).map_err(refused)?;
    let future = outgoing_handler::handle(call, None)?;
    loop {
        match future.get() {
            Some(Ok(response)) => return response.map(|response| response.status()),
            Some(Err(())) => return Err(ErrorCode::InternalError(Some("taken twice".into()))),
            None => future.subscribe().block(),
        }
    }
}
