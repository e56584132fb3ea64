//! A request's head: what it asks for, and what the guest gets to see of it. Pure.
//! Must never trust a field that a proxy sets: those from outside are taken away.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::{Authority, PathAndQuery, Uri};
use http::{Method, Version, request::Parts};

use crate::model::limits;
use crate::model::outcome::Rejection;

/// Which function a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// As written; whether there is such a tenant is the table's to say.
    pub tenant: &'a str,
    /// As written.
    pub function: &'a str,
    /// Bytes of the path that are the platform's and not the guest's; zero in the host form.
    pub prefix: usize,
}

/// The prefix that was stripped from the path.
pub const FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
/// The address of the client.
pub const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// The scheme the client used.
pub const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// The host the client asked for.
pub const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// The platform's name for this request.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Fields that belong to one connection, or that only the platform may set.
fn is_stripped(name: &HeaderName) -> bool {
    let name = name.as_str();
    match name.as_bytes().first() {
        Some(b'c') => name == "connection",
        Some(b'f') => name == "forwarded",
        Some(b'h') => name == "http2-settings",
        Some(b'k') => name == "keep-alive",
        Some(b'p') => matches!(name, "proxy-connection" | "proxy-authorization"),
        Some(b't') => matches!(name, "te" | "transfer-encoding"),
        Some(b'u') => name == "upgrade",
        Some(b'x') => {
            name.starts_with("x-forwarded-")
                || name.starts_with("x-spawnpoint-")
                || name == "x-request-id"
                || name == "x-real-ip"
        }
        _ => false,
    }
}

/// The host that a request is for, as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host<'a> {
    text: &'a str,
    /// Bytes of it that are the name; then comes the port, if there is one.
    name: usize,
}

impl<'a> Host<'a> {
    /// The name, without a port.
    #[must_use]
    pub fn name(self) -> &'a str {
        self.text.get(..self.name).unwrap_or(self.text)
    }

    /// Reads what most hosts look like, without keeping anything.
    fn plain(text: &'a str) -> Option<Self> {
        let letters = |b: u8| b.is_ascii_alphanumeric() || b == b'.' || b == b'-';
        let name = text.bytes().take_while(|b| letters(*b)).count();
        let port = text.get(name..)?;
        let is_port =
            port.is_empty() || (port.starts_with(':') && port.bytes().skip(1).all(|b| b.is_ascii_digit()));
        (name > 0 && is_port).then_some(Self { text, name })
    }

    fn of(authority: &'a Authority) -> Result<Self, Rejection> {
        let host = Self { text: authority.as_str(), name: authority.host().len() };
        if host.text.contains('@') {
            return Err(Rejection::BadRequest("the host holds a user name"));
        }
        // The parser of hosts lets anything through where the port is.
        let port = host.text.get(host.name..).unwrap_or("");
        if port.bytes().skip(1).any(|b| !b.is_ascii_digit()) {
            return Err(Rejection::BadRequest("the port of the host is not a number"));
        }
        Ok(host)
    }

    fn read(field: &'a HeaderValue) -> Result<Self, Rejection> {
        const INVALID: Rejection = Rejection::BadRequest("the host field is not a host and a port");
        let text = field.to_str().map_err(|_| INVALID)?;
        if let Some(host) = Self::plain(text) {
            return Ok(host);
        }
        let authority = Authority::try_from(text).map_err(|_| INVALID)?;
        Host::of(&authority).map(|host| Self { text, name: host.name })
    }
}

/// The host a request is for, checked as RFC 9112 section 3.2 wants it. `None` only before HTTP/1.1.
///
/// # Errors
/// [`Rejection::BadRequest`] for a missing, repeated, invalid or contradicted host.
pub fn host(parts: &Parts) -> Result<Option<Host<'_>>, Rejection> {
    let mut fields = parts.headers.get_all(header::HOST).iter();
    let (field, more) = (fields.next(), fields.next());
    if more.is_some() {
        return Err(Rejection::BadRequest("more than one host field"));
    }
    let host = field.map(Host::read).transpose()?;
    let asked = parts.uri.authority().map(Host::of).transpose()?;
    match (asked, host) {
        (Some(asked), Some(host)) if !asked.text.eq_ignore_ascii_case(host.text) => {
            Err(Rejection::BadRequest("the host field and the request's authority differ"))
        }
        (None, None) if parts.version >= Version::HTTP_11 => {
            Err(Rejection::BadRequest("the host field is missing"))
        }
        (asked, host) => Ok(asked.or(host)),
    }
}

/// The host as a URI has it.
#[must_use]
pub fn authority(parts: &Parts) -> Option<Authority> {
    let of_field = || Authority::try_from(parts.headers.get(header::HOST)?.as_bytes()).ok();
    parts.uri.authority().cloned().or_else(of_field)
}

/// Sizes and methods nobody is routed with.
///
/// # Errors
/// The rejection that fits.
pub fn check(parts: &Parts, header_bytes: usize, header_fields: usize) -> Result<(), Rejection> {
    if parts.method == Method::CONNECT {
        return Err(Rejection::BadRequest("this is no proxy: CONNECT is not answered"));
    }
    let uri = parts.uri.path_and_query().map_or(0, |path| path.as_str().len());
    if uri > limits::URI_BYTES {
        return Err(Rejection::UriTooLong);
    }
    let size = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + 4;
    let bytes: usize = parts.headers.iter().map(size).sum();
    if parts.headers.len() > header_fields || bytes + uri > header_bytes {
        return Err(Rejection::HeadersTooLarge);
    }
    Ok(())
}

/// Finds the function in the host (`function.tenant.BASE`) or else in the path (`/tenant/function/..`).
///
/// # Errors
/// [`Rejection::NoRoute`] when neither names one.
pub fn target<'a>(host: Option<&'a str>, path: &'a str, base: &str) -> Result<Target<'a>, Rejection> {
    if let Some(labels) = host.and_then(|host| below(host, base)) {
        let (function, tenant) = labels.split_once('.').ok_or(Rejection::NoRoute)?;
        return Ok(Target { tenant, function, prefix: 0 });
    }
    let rest = path.strip_prefix('/').ok_or(Rejection::NoRoute)?;
    let (tenant, rest) = rest.split_once('/').ok_or(Rejection::NoRoute)?;
    let function = rest.split('/').next().unwrap_or(rest);
    if tenant.is_empty() || function.is_empty() {
        return Err(Rejection::NoRoute);
    }
    Ok(Target { tenant, function, prefix: tenant.len() + function.len() + 2 })
}

/// What stands before `.base` in `host`, if it is below it. Host names are compared without case.
fn below<'a>(host: &'a str, base: &str) -> Option<&'a str> {
    let cut = host.len().checked_sub(base.len() + 1)?;
    let (labels, dot_base) = (host.get(..cut)?, host.get(cut..)?);
    let (dot, rest) = dot_base.split_at_checked(1)?;
    (dot == "." && rest.eq_ignore_ascii_case(base)).then_some(labels)
}

/// The path and query the guest sees: `uri` without its first `prefix` bytes.
#[must_use]
pub fn strip_prefix(uri: &Uri, prefix: usize) -> PathAndQuery {
    let whole = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let rest = whole.get(prefix..).unwrap_or("");
    if rest.is_empty() || rest == "/" {
        return PathAndQuery::from_static("/");
    }
    let text = if rest.starts_with('/') { rest.to_owned() } else { format!("/{rest}") };
    // The rest of a valid path and query is one; if it ever were not, the root is the safe answer.
    PathAndQuery::try_from(text).unwrap_or_else(|_| PathAndQuery::from_static("/"))
}

/// Takes away what belongs to one connection and what only a proxy may say.
pub fn strip(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        let fields = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
        let named = fields.flat_map(|field| field.split(','));
        let named = named.filter_map(|name| name.trim().parse::<HeaderName>().ok());
        // `Connection: host` must not take away what routing has already relied on.
        let named: Vec<_> = named.filter(|name| *name != header::HOST).collect();
        for name in named {
            headers.remove(name);
        }
    }
    if headers.keys().any(is_stripped) {
        let named: Vec<_> = headers.keys().filter(|name| is_stripped(name)).cloned().collect();
        for name in named {
            headers.remove(name);
        }
    }
}

/// Takes away from a guest's answer, head or trailers, what is the platform's or the connection's. `Trailer` stays:
/// hyper sends over HTTP/1 only the trailers that it names.
pub fn strip_answer(headers: &mut HeaderMap) {
    if headers.keys().any(is_stripped) {
        let named: Vec<_> = headers.keys().filter(|name| is_stripped(name)).cloned().collect();
        for name in named {
            headers.remove(name);
        }
    }
}

/// The declared length of a body. A length that is no number never gets here: hyper refuses it, and so does wasi:http.
#[must_use]
pub fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
