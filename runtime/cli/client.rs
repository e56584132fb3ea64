//! The admin API as the command line uses it: requests with the token, answers as the shapes of `admin::wire`.
//! Must never hold an unbounded answer, wait without end or show a token.

mod exchange;
mod origin;
mod payload;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::timeout;

pub(super) use exchange::exchange;
pub(super) use origin::{Origin, OriginError};
pub(super) use payload::Payload;

use crate::admin::wire::Problem;

/// A server's admin API.
#[derive(Clone, Debug)]
pub(super) struct Client {
    origin: Origin,
    token: Option<Token>,
}

/// What lets its holder use the admin API. Its debug form does not show it.
#[derive(Clone, Debug)]
pub(super) struct Token(HeaderValue);

/// One call.
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) content_type: Option<HeaderValue>,
    pub(super) payload: Payload,
    pub(super) patience: Duration,
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    /// Nobody listens.
    #[error("no server answers at {origin}")]
    Unreachable {
        origin: Origin,
        #[source]
        source: io::Error,
    },
    /// Somebody listens, and is silent.
    #[error("{origin} did not answer within {seconds} s")]
    Timeout { origin: Origin, seconds: u64 },
    /// The connection ended before the answer did.
    #[error("the connection to {origin} broke")]
    Broken {
        origin: Origin,
        #[source]
        source: hyper::Error,
    },
    /// The answer ended early or is too large.
    #[error("the answer of {origin} could not be read to its end")]
    Body {
        origin: Origin,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server says no.
    #[error("{detail} (code {code})")]
    Refused { status: StatusCode, code: String, detail: String },
    /// The server does not know the token, or it is not enough.
    #[error("{origin} does not allow this: {detail} (code {code})")]
    Denied { origin: Origin, code: String, detail: String },
    /// Something else than a Spawnpoint server answers there.
    #[error("what answers at {origin} is no Spawnpoint admin API: it said `{status}`")]
    Foreign { origin: Origin, status: StatusCode },
    /// The token is there, and this user may not have it.
    #[error("the token in `{path}` cannot be read")]
    NoToken {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Bytes of the longest answer of the admin API.
const ANSWER_BYTES: usize = 16 << 20;
/// How long the admin API may take, but for a deploy.
const PATIENCE: Duration = Duration::from_secs(30);

impl Token {
    /// A token as it was typed or kept.
    pub(super) fn new(text: &str) -> Result<Self, super::Usage> {
        let wrong = || super::Usage("the token is empty or holds characters that no token has".to_owned());
        let text = text.trim();
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(wrong());
        }
        let mut value = HeaderValue::try_from(format!("Bearer {text}")).map_err(|_| wrong())?;
        value.set_sensitive(true);
        Ok(Self(value))
    }
}

impl Call {
    /// A call without a body.
    pub(super) fn new(method: Method, path: impl Into<String>) -> Self {
        let payload = Payload::default();
        Self { method, path: path.into(), content_type: None, payload, patience: PATIENCE }
    }

    /// A call with a JSON body.
    pub(super) fn json(
        method: Method,
        path: impl Into<String>,
        body: &impl Serialize,
    ) -> anyhow::Result<Self> {
        let mut call = Self::new(method, path);
        call.content_type = Some(HeaderValue::from_static("application/json"));
        call.payload = call.payload.bytes(serde_json::to_vec(body)?);
        Ok(call)
    }
}

impl Client {
    pub(super) fn new(origin: Origin, token: Option<Token>) -> Self {
        Self { origin, token }
    }

    /// Which server this talks to.
    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Whether it has a token to send.
    #[cfg(test)]
    pub(super) fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Reads one resource.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.call(Call::new(Method::GET, path)).await
    }

    /// Makes a call and reads its answer; one without a body is `null`.
    pub(super) async fn call<T: DeserializeOwned>(&self, call: Call) -> anyhow::Result<T> {
        let (status, bytes) = self.answer(call).await?;
        let text: &[u8] = if bytes.is_empty() { b"null" } else { &bytes };
        Ok(serde_json::from_slice(text)
            .map_err(|_| ClientError::Foreign { origin: self.origin.clone(), status })?)
    }

    /// Makes a call and reads its answer as it comes, if it went well.
    pub(super) async fn answer(&self, call: Call) -> anyhow::Result<(StatusCode, Bytes)> {
        let patience = call.patience;
        let mut request = Request::builder()
            .method(call.method)
            .uri(call.path)
            .header(header::HOST, self.origin.authority())
            .header(header::USER_AGENT, concat!("spawnpoint/", env!("CARGO_PKG_VERSION")))
            .header(header::ACCEPT, "application/json")
            .body(call.payload)?;
        let given = [
            (header::AUTHORIZATION, self.token.clone().map(|token| token.0)),
            (header::CONTENT_TYPE, call.content_type),
        ];
        for (name, value) in given {
            if let Some(value) = value {
                request.headers_mut().insert(name, value);
            }
        }
        let answer = exchange(&self.origin, request, patience).await?;
        let status = answer.status();
        let bytes = collect(&self.origin, answer, (ANSWER_BYTES, PATIENCE)).await?;
        if !status.is_success() {
            return Err(self.refusal(status, &bytes).into());
        }
        Ok((status, bytes))
    }

    /// Reads all pages of a list, and joins what each holds under `items`.
    pub(super) async fn all<T: DeserializeOwned>(&self, path: &str, items: &str) -> anyhow::Result<T> {
        let mut whole: Value = self.get(path).await?;
        while let Some(after) = whole["next"].as_str() {
            let joint = if path.contains('?') { '&' } else { '?' };
            let mut page: Value = self.get(&format!("{path}{joint}after={}", encoded(after))).await?;
            anyhow::ensure!(page["next"] != whole["next"], "the server repeats a page of `{path}`");
            whole["next"] = page["next"].take();
            if let (Some(all), Some(more)) = (whole[items].as_array_mut(), page[items].as_array_mut()) {
                all.append(more);
            }
        }
        let foreign = |_| ClientError::Foreign { origin: self.origin.clone(), status: StatusCode::OK };
        Ok(serde_json::from_value(whole).map_err(foreign)?)
    }

    fn refusal(&self, status: StatusCode, bytes: &[u8]) -> ClientError {
        let origin = self.origin.clone();
        let denied = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        match (serde_json::from_slice(bytes), denied) {
            (Ok(Problem { code, detail, .. }), true) => ClientError::Denied { origin, code, detail },
            (Ok(Problem { code, detail, .. }), false) => ClientError::Refused { status, code, detail },
            (Err(_), true) => {
                ClientError::Denied { origin, code: status.as_str().to_owned(), detail: status.to_string() }
            }
            (Err(_), false) => ClientError::Foreign { origin, status },
        }
    }
}

impl ClientError {
    /// What to do about it.
    pub(super) fn hint(&self) -> Option<String> {
        match self {
            Self::Unreachable { .. } => {
                Some("start one with `spawnpoint serve`, or name another with --server URL".to_owned())
            }
            Self::Denied { .. } => Some(
                "give its token with --token or SPAWNPOINT_TOKEN; a server on this machine keeps it in \
                 `admin-token` in its data directory (--data-dir)"
                    .to_owned(),
            ),
            Self::Foreign { .. } => Some(
                "--server wants the address after `admin=` in the line that `spawnpoint serve` prints"
                    .to_owned(),
            ),
            Self::NoToken { .. } => {
                Some("be the user who runs the server, or give the token with --token".to_owned())
            }
            Self::Refused { code, .. } if code == "no_such_tenant" => {
                Some("create it with `spawnpoint tenant create TENANT`".to_owned())
            }
            Self::Refused { code, .. } if code == "no_such_function" => Some(
                "see what there is with `spawnpoint list`, of another tenant with --tenant TENANT".to_owned(),
            ),
            _ => None,
        }
    }
}

/// Reads an answer's body, within a size and a time.
pub(super) async fn collect(
    origin: &Origin,
    answer: Response<Incoming>,
    (most, patience): (usize, Duration),
) -> Result<Bytes, ClientError> {
    match timeout(patience, Limited::new(answer.into_body(), most).collect()).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(source)) => Err(ClientError::Body { origin: origin.clone(), source }),
        Err(_) => Err(ClientError::Timeout { origin: origin.clone(), seconds: patience.as_secs() }),
    }
}

/// Percent-encodes what is not unreserved (RFC 3986, section 2.3).
pub(super) fn encoded(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}
