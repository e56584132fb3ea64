//! JSON in and out through serde. It must never read more than its limit, nor take a body that does not say it is JSON:
//! a page of another site can send those without being asked.

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::body::Body;
use crate::error::Error;
use crate::reply::{Reply, Responder};
use crate::request::{FromRequest, Incoming};
use crate::{Request, Response};

/// The most bytes of JSON that a [`Json`] argument takes: 2 MiB. [`Body::json`] takes a limit of your own.
pub const JSON_LIMIT: usize = 2 << 20;

/// A value that arrives or leaves as JSON.
///
/// ```no_run
/// # fn main() {}
/// use serde::{Deserialize, Serialize};
/// use spawnpoint_sdk::Json;
///
/// #[derive(Deserialize)]
/// struct Sum { a: i64, b: i64 }
///
/// #[derive(Serialize)]
/// struct Total { total: i64 }
///
/// fn add(Json(sum): Json<Sum>) -> Json<Total> {
///     Json(Total { total: sum.a.saturating_add(sum.b) })
/// }
///
/// spawnpoint_sdk::handler!(add);
/// ```
pub struct Json<T>(pub T);

impl<T: Serialize> Json<T> {
    /// The value as a response with a status, for functions that also give others.
    ///
    /// # Errors
    /// When serde cannot serialize the value: 500.
    pub fn with_status(self, status: StatusCode) -> Result<Response, Error> {
        let mut response = Response::new(Body::from(serde_json::to_vec(&self.0)?));
        *response.status_mut() = status;
        let kind = HeaderValue::from_static("application/json");
        response.headers_mut().try_insert(CONTENT_TYPE, kind)?;
        Ok(response)
    }
}

impl Body {
    /// Reads the whole body as JSON.
    ///
    /// # Errors
    /// 413 over the limit, 400 when it is not JSON or not that of a `T`.
    pub fn json<T: DeserializeOwned>(self, limit: usize) -> Result<T, Error> {
        let bytes = self.bytes(limit)?;
        serde_json::from_slice(&bytes).map_err(|error| {
            // About the client's own bytes, so the client may read it.
            Error::new(StatusCode::BAD_REQUEST, error.to_string())
        })
    }
}

impl<T: DeserializeOwned> FromRequest for Json<T> {
    fn from_request(incoming: Incoming) -> Result<Self, Error> {
        let request = Request::from_request(incoming)?;
        if !is_json(request.headers()) {
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Err(Error::new(status, "the content-type has to be application/json"));
        }
        Ok(Self(request.into_body().json(JSON_LIMIT)?))
    }
}

impl<T: Serialize> Reply for Json<T> {
    fn reply(self, responder: Responder) {
        match serde_json::to_vec(&self.0) {
            Ok(bytes) => responder.full(200, "application/json", &bytes),
            Err(error) => Error::from(error).reply(responder),
        }
    }
}

/// `application/json` and every `+json`, whatever parameters follow.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(Ok(value)) = headers.get(CONTENT_TYPE).map(HeaderValue::to_str) else {
        return false;
    };
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || essence.ends_with("+json")
}

#[cfg(test)]
mod tests;
