//! Rejection and Outcome to status, headers and body: the only place on this side that knows HTTP statuses.
//! Must never show the public more than a code, a sentence and the request's id.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};

use super::body::Body;
use crate::model::outcome::{Outcome, Rejection, Row};
use crate::model::request_id::RequestId;

/// The code of an answer that the platform made.
pub const ERROR: HeaderName = HeaderName::from_static("x-spawnpoint-error");

/// What the public is told.
type Words = (StatusCode, &'static str);

fn of_rejection(rejection: &Rejection) -> Words {
    match rejection {
        Rejection::NoRoute => (StatusCode::NOT_FOUND, "No function answers here."),
        Rejection::BadRequest(text) => (StatusCode::BAD_REQUEST, *text),
        Rejection::HeadersTooLarge => {
            (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "The head of the request is larger than allowed.")
        }
        Rejection::UriTooLong => (StatusCode::URI_TOO_LONG, "The path is longer than allowed."),
        Rejection::PayloadTooLarge => TOO_LARGE,
        Rejection::Throttled => (
            StatusCode::TOO_MANY_REQUESTS,
            "As many requests are in progress as the function or its owner may have.",
        ),
        Rejection::RateLimited { .. } => {
            (StatusCode::TOO_MANY_REQUESTS, "The function, or its owner, was asked as often as it may be.")
        }
        Rejection::BreakerOpen { .. } => {
            (StatusCode::SERVICE_UNAVAILABLE, "The function failed too often and is left alone for a while.")
        }
        Rejection::Paused => (StatusCode::SERVICE_UNAVAILABLE, "The function is paused."),
        Rejection::Overloaded => {
            (StatusCode::SERVICE_UNAVAILABLE, "There is no room for the request just now.")
        }
        Rejection::Draining => (StatusCode::SERVICE_UNAVAILABLE, "The server is going away."),
        Rejection::HostError(_) => HOST_ERROR,
    }
}

fn of_outcome(outcome: &Outcome) -> Words {
    let bad = |text| (StatusCode::BAD_GATEWAY, text);
    match outcome {
        Outcome::Trapped(_) => bad("The function crashed."),
        Outcome::CpuLimit => bad("The function used more CPU time than it may."),
        Outcome::MemoryLimit => bad("The function needed more memory than it may have."),
        Outcome::MemoryShort => (StatusCode::SERVICE_UNAVAILABLE, "The server has no memory left."),
        Outcome::NoResponse => bad("The function ended without an answer."),
        Outcome::BadResponse(_) => bad("The function's answer is not valid HTTP."),
        Outcome::GuestError(_) => bad("The function answered with an error code."),
        Outcome::ResponseTooLarge => bad("The function's answer is larger than allowed."),
        Outcome::Timeout { .. } => (StatusCode::GATEWAY_TIMEOUT, "The function took longer than it may."),
        Outcome::Overloaded => {
            (StatusCode::SERVICE_UNAVAILABLE, "The server had no time left for the function.")
        }
        Outcome::BadRequest => (StatusCode::BAD_REQUEST, "The body of the request broke off or is not HTTP."),
        Outcome::PayloadTooLarge => TOO_LARGE,
        // Nobody is there to read either of these.
        Outcome::ClientGone | Outcome::Completed => bad("The request has ended."),
        Outcome::HostError(_) => HOST_ERROR,
    }
}

const TOO_LARGE: Words = (StatusCode::PAYLOAD_TOO_LARGE, "The body is larger than the function takes.");
const HOST_ERROR: Words =
    (StatusCode::INTERNAL_SERVER_ERROR, "The platform failed; the function is not to blame.");

/// In which form a client wants to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// RFC 9457.
    Problem,
    /// A page.
    Html,
    /// Lines.
    Text,
}

impl Form {
    /// What the `Accept` field asks for; a list is read from its first entry on.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
        for entry in accept.unwrap_or("").split(',') {
            match entry.split(';').next().unwrap_or("").trim() {
                "text/html" | "application/xhtml+xml" => return Self::Html,
                "text/plain" => return Self::Text,
                "application/json" | "application/problem+json" => return Self::Problem,
                _ => {}
            }
        }
        Self::Problem
    }
}

/// The answer to a request that reached no guest.
#[must_use]
pub fn rejected(rejection: &Rejection, form: Form, id: RequestId) -> Response<Body> {
    answer(of_rejection(rejection), &rejection.row(), form, id)
}

/// The answer for a guest that failed before its own was under way.
#[must_use]
pub fn failed(outcome: &Outcome, form: Form, id: RequestId) -> Response<Body> {
    answer(of_outcome(outcome), &outcome.row(), form, id)
}

fn answer((status, text): Words, row: &Row, form: Form, id: RequestId) -> Response<Body> {
    let code = row.code;
    let (kind, body) = match form {
        Form::Problem => {
            let body = serde_json::json!({
                "type": format!("urn:spawnpoint:error:{code}"),
                "title": text, "status": status.as_u16(), "code": code, "request_id": id.to_string(),
            });
            ("application/problem+json", format!("{body}\n"))
        }
        Form::Html => {
            let number = status.as_u16();
            let page = format!(
                "<!doctype html><title>{number} {code}</title><h1>{number} {code}</h1><p>{text}</p><p><small>{id}</small></p>\n"
            );
            ("text/html; charset=utf-8", page)
        }
        Form::Text => ("text/plain; charset=utf-8", format!("{code}: {text}\nrequest id: {id}\n")),
    };
    let mut response = Response::new(Body::Whole(Some(Bytes::from(body))));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(ERROR, HeaderValue::from_static(code));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(ms) = row.retry_ms {
        // In whole seconds, and never sooner than is true.
        headers.insert(header::RETRY_AFTER, HeaderValue::from(ms.div_ceil(1_000).max(1)));
    }
    response
}
