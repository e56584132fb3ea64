//! One connection that is kept open, and one call after the other on it: HTTP/1.1, GET, the whole body read and
//! forgotten. Must never follow a redirect, hold a body or send a token.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Request, Uri};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::timing::{Phases, start_of};
use crate::model::outcome::Start;
use crate::tasks;

/// Who is asked, and for what.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where the server is.
    pub address: SocketAddr,
    /// What it is called there.
    pub host: HeaderValue,
    /// Path and query, one for each function that is called.
    pub paths: Vec<Uri>,
    /// How long one call may take.
    pub patience: Duration,
}

/// One connection, opened when it is first used and again when the server has closed it.
#[derive(Debug)]
pub struct Caller {
    sender: Option<SendRequest<Empty<Bytes>>>,
    /// How often it was opened again because the server had closed it.
    pub reconnects: u64,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// What the platform calls it, if the answer is the platform's own.
    pub code: Option<String>,
    /// Which start the server named.
    pub start: Option<Start>,
    /// What the server said its phases took.
    pub phases: Phases,
    /// When its head was here.
    pub head_at: Instant,
    /// When its last byte was here.
    pub end_at: Instant,
    /// Bytes of its body.
    pub bytes: u64,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nobody took the connection.
    #[error("`{address}` takes no connection")]
    Connect {
        /// Who did not.
        address: SocketAddr,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// It took too long.
    #[error("no whole answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// The connection ended before the answer did.
    #[error("the connection broke")]
    Broken(#[source] hyper::Error),
}

const ERROR: &str = "x-spawnpoint-error";
const AGENT: &str = concat!("spawnpoint-bench/", env!("CARGO_PKG_VERSION"));

impl CallError {
    /// One word for it.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Connect { .. } => "connect",
            Self::Timeout(_) => "client_timeout",
            Self::Broken(_) => "broken",
        }
    }

    /// With its causes.
    #[must_use]
    pub fn in_words(&self) -> String {
        match self {
            Self::Connect { source, .. } => format!("{self}: {source}"),
            Self::Timeout(_) => self.to_string(),
            Self::Broken(source) => format!("{self}: {source}"),
        }
    }
}

impl Default for Caller {
    fn default() -> Self {
        Self::new()
    }
}

impl Caller {
    /// Not yet open.
    #[must_use]
    pub fn new() -> Self {
        Self { sender: None, reconnects: 0 }
    }

    /// Opens the connection, unless it is open.
    ///
    /// # Errors
    /// [`CallError::Connect`], or the time ran out.
    pub async fn open(&mut self, target: &Target) -> Result<(), CallError> {
        let patience = target.patience;
        let opened = timeout(patience, self.ready(target)).await;
        opened.map_err(|_| CallError::Timeout(patience))?.map(drop)
    }

    /// Makes one call of the path with this number.
    ///
    /// # Errors
    /// When there is no whole answer in time; the connection is closed then.
    pub async fn call(&mut self, target: &Target, path: usize) -> Result<Answer, CallError> {
        let patience = target.patience;
        let called = timeout(patience, self.attempt(target, path)).await;
        let called = called.unwrap_or(Err(CallError::Timeout(patience)));
        if called.is_err() {
            self.sender = None;
        }
        called
    }

    async fn attempt(&mut self, target: &Target, path: usize) -> Result<Answer, CallError> {
        let was_open = self.sender.as_ref().is_some_and(|sender| !sender.is_closed());
        let answer = match self.send(target, path).await {
            // A server may close a connection that idles just when a call goes out on it: such a call is sent again.
            Err(CallError::Broken(error)) if was_open && (error.is_canceled() || is_cut(&error)) => {
                self.sender = None;
                self.reconnects += 1;
                self.send(target, path).await?
            }
            other => other?,
        };
        let (head, mut body) = answer.into_parts();
        let head_at = Instant::now();
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(CallError::Broken)?;
            bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        let code = head.headers.get(ERROR).map(|code| String::from_utf8_lossy(code.as_bytes()).into_owned());
        Ok(Answer {
            status: head.status.as_u16(),
            code,
            start: start_of(&head.headers),
            phases: Phases::of(&head.headers),
            head_at,
            end_at: Instant::now(),
            bytes,
        })
    }

    async fn send(
        &mut self,
        target: &Target,
        path: usize,
    ) -> Result<http::Response<hyper::body::Incoming>, CallError> {
        let sender = self.ready(target).await?;
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = target.paths.get(path).cloned().unwrap_or_default();
        let headers = request.headers_mut();
        headers.insert(header::HOST, target.host.clone());
        headers.insert(header::USER_AGENT, HeaderValue::from_static(AGENT));
        headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        sender.send_request(request).await.map_err(CallError::Broken)
    }

    /// The open connection, ready for the next call.
    async fn ready(&mut self, target: &Target) -> Result<&mut SendRequest<Empty<Bytes>>, CallError> {
        if self.sender.as_ref().is_some_and(SendRequest::is_closed) {
            self.sender = None;
            self.reconnects += 1;
        }
        let sender = match self.sender.take() {
            Some(sender) => sender,
            None => connect(target.address).await?,
        };
        let sender = self.sender.insert(sender);
        sender.ready().await.map_err(CallError::Broken)?;
        Ok(sender)
    }
}

async fn connect(address: SocketAddr) -> Result<SendRequest<Empty<Bytes>>, CallError> {
    let refused = |source| CallError::Connect { address, source };
    let stream = TcpStream::connect(address).await.map_err(refused)?;
    stream.set_nodelay(true).map_err(refused)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(CallError::Broken)?;
    // What ends a connection also ends the call, which says so.
    tasks::detached(async move { drop(connection.await) });
    Ok(sender)
}

/// Whether the connection ended before the first byte of an answer.
fn is_cut(error: &hyper::Error) -> bool {
    use std::error::Error as _;
    let reset = |source: &io::Error| source.kind() == io::ErrorKind::ConnectionReset;
    error.is_incomplete_message()
        || error.source().and_then(|source| source.downcast_ref()).is_some_and(reset)
}
