//! From the host's request to the types a function takes. It must never read the body: whoever wants it reads it.

use http::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};
use http::uri::{Parts, PathAndQuery};
use http::{Method, StatusCode, Uri};
use wasip2::http::types as wasi;

use crate::Request;
use crate::body::Body;
use crate::error::{Error, OrStatus as _};

/// The host's request, before it is anything. It can only be given to a [`FromRequest`].
pub struct Incoming(wasi::IncomingRequest);

/// What a function can take: something made from the request.
///
/// ```
/// use spawnpoint_sdk::{Error, FromRequest, Incoming, OrStatus, Request, http::StatusCode};
///
/// struct Token(String);
///
/// impl FromRequest for Token {
///     fn from_request(incoming: Incoming) -> Result<Self, Error> {
///         let request = Request::from_request(incoming)?;
///         let value = request.headers().get("x-token");
///         let value = value.or_status(StatusCode::UNAUTHORIZED, "no token")?;
///         Ok(Self(value.to_str()?.to_owned()))
///     }
/// }
/// ```
pub trait FromRequest: Sized {
    /// Makes the value, or the error that answers the request.
    ///
    /// # Errors
    /// When the request is not what the function needs; the function is then not called.
    fn from_request(incoming: Incoming) -> Result<Self, Error>;
}

impl Incoming {
    pub(crate) fn new(request: wasi::IncomingRequest) -> Self {
        Self(request)
    }
}

impl FromRequest for Request {
    fn from_request(incoming: Incoming) -> Result<Self, Error> {
        let Incoming(wasi) = incoming;
        let mut request = Request::new(Body::empty());
        *request.method_mut() = method(wasi.method())?;
        *request.uri_mut() = uri(&wasi)?;
        *request.headers_mut() = headers(wasi.headers().entries())?;
        let length = request.headers().get(CONTENT_LENGTH);
        let length = length.and_then(|value| value.to_str().ok()?.parse().ok());
        *request.body_mut() = Body::incoming(wasi, length);
        Ok(request)
    }
}

fn method(method: wasi::Method) -> Result<Method, Error> {
    Ok(match method {
        wasi::Method::Get => Method::GET,
        wasi::Method::Head => Method::HEAD,
        wasi::Method::Post => Method::POST,
        wasi::Method::Put => Method::PUT,
        wasi::Method::Delete => Method::DELETE,
        wasi::Method::Connect => Method::CONNECT,
        wasi::Method::Options => Method::OPTIONS,
        wasi::Method::Trace => Method::TRACE,
        wasi::Method::Patch => Method::PATCH,
        wasi::Method::Other(name) => {
            Method::from_bytes(name.as_bytes()).or_status(StatusCode::BAD_REQUEST, "the method is not one")?
        }
    })
}

/// The whole URI where the host knows scheme and authority, and otherwise the path: `http` refuses what is between.
fn uri(request: &wasi::IncomingRequest) -> Result<Uri, Error> {
    const REFUSED: &str = "the URI is not one";
    let mut parts = Parts::default();
    let path = request.path_with_query();
    let path = path.map_or(Ok(PathAndQuery::from_static("/")), PathAndQuery::try_from);
    parts.path_and_query = Some(path.or_status(StatusCode::BAD_REQUEST, REFUSED)?);
    if let (Some(scheme), Some(authority)) = (request.scheme(), request.authority()) {
        let scheme = match scheme {
            wasi::Scheme::Http => Ok(http::uri::Scheme::HTTP),
            wasi::Scheme::Https => Ok(http::uri::Scheme::HTTPS),
            wasi::Scheme::Other(name) => name.parse(),
        };
        parts.scheme = Some(scheme.or_status(StatusCode::BAD_REQUEST, REFUSED)?);
        let authority = authority.parse();
        parts.authority = Some(authority.or_status(StatusCode::BAD_REQUEST, REFUSED)?);
    }
    Uri::from_parts(parts).or_status(StatusCode::BAD_REQUEST, REFUSED)
}

fn headers(entries: Vec<(String, Vec<u8>)>) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::try_with_capacity(entries.len())?;
    for (name, value) in entries {
        let name = HeaderName::try_from(name)?;
        headers.try_append(name, HeaderValue::try_from(value)?)?;
    }
    Ok(headers)
}

#[cfg(test)]
mod tests;
