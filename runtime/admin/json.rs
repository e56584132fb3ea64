//! Small JSON bodies, both ways. Must never read more than a small body, nor accept a field that nothing reads.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use http_body_util::{BodyExt as _, Limited};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::problem::{Code, Refusal, cut};

/// A body, or an answer, in JSON.
pub(super) struct Json<T>(pub(super) T);

/// Bytes of a JSON body, and of a manifest.
pub(super) const JSON_BYTES: usize = 64 * 1024;
/// From the head to the last byte of a JSON body.
const WHOLE: Duration = Duration::from_secs(30);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        let (parts, body) = request.into_parts();
        check_type(&parts.headers)?;
        let too_large =
            || Refusal::new(Code::PayloadTooLarge, format!("a JSON body has at most {JSON_BYTES} bytes"));
        let least = usize::try_from(http_body::Body::size_hint(&body).lower()).unwrap_or(usize::MAX);
        if least > JSON_BYTES {
            return Err(too_large());
        }
        let whole = tokio::time::timeout(WHOLE, Limited::new(body, JSON_BYTES).collect()).await;
        let Ok(whole) = whole else {
            let detail = format!("a JSON body must be whole within {} s", WHOLE.as_secs());
            return Err(Refusal::new(Code::UploadTimeout, detail));
        };
        let bytes = whole.map_err(|error| {
            if error.is::<http_body_util::LengthLimitError>() {
                too_large()
            } else {
                Refusal::new(Code::UploadAborted, "the body broke off before its end")
            }
        })?;
        let value = object(&bytes.to_bytes()).map_err(|why| Refusal::new(Code::InvalidJson, why))?;
        Ok(Self(value))
    }
}

/// One JSON object. Serde would take an array for a struct too, by position: nobody means that.
pub(super) fn object<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    if bytes.trim_ascii_start().first().is_some_and(|first| *first != b'{') {
        return Err("expected a JSON object".to_owned());
    }
    serde_json::from_slice(bytes).map_err(|error| cut(&error.to_string()))
}

/// JSON, or nothing said.
fn check_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let text = value.to_str().unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json")) {
        return Ok(());
    }
    let shown = cut(&essence.escape_default().to_string());
    let detail = format!("`content-type` is `{shown}`: allowed is `application/json`");
    Err(Refusal::new(Code::UnsupportedMediaType, detail))
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(bytes) => {
                let mut response = Response::new(Body::from(bytes));
                let headers = response.headers_mut();
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
                response
            }
            Err(error) => Refusal::host(&error).into_response(),
        }
    }
}
