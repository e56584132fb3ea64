//! Who may ask: whoever knows the token. One check in front of everything below `/v1`.
//! Must never let a new route be reached without a token because somebody forgot to say so.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::openapi::PATH as OPENAPI;
use super::problem::{Code, Refusal};
use super::state::Admin;
use super::token::Token;

/// Refuses a request that needs the token and does not have it, before anything of its body is read.
pub(super) async fn guard(State(admin): State<Arc<Admin>>, request: Request, next: Next) -> Response {
    if needs_token(request.uri().path())
        && let Err(refusal) = check(request.headers(), &admin.token)
    {
        return refusal.into_response();
    }
    next.run(request).await
}

/// The router matches paths as they are written, so that what is compared here is what it sees.
fn needs_token(path: &str) -> bool {
    let inside = path.strip_prefix("/v1").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    inside && path != OPENAPI
}

fn check(headers: &HeaderMap, token: &Token) -> Result<(), Refusal> {
    let refuse = |detail| Err(Refusal::new(Code::Unauthorized, detail));
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (given.next(), given.next()) else {
        return refuse(
            "give one header `authorization: Bearer TOKEN`; the token is in the file `admin-token` of the data directory",
        );
    };
    let value = value.as_bytes();
    let scheme = value.get(..7).unwrap_or_default();
    if !scheme.eq_ignore_ascii_case(b"bearer ") {
        return refuse("the `authorization` header has another scheme: allowed is `Bearer TOKEN`");
    }
    if token.is(value[scheme.len()..].trim_ascii()) {
        Ok(())
    } else {
        refuse("the token is not this server's")
    }
}
