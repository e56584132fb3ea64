//! A blocking client of one connection: what deploys functions and times single calls.
//! Must never retry: what fails is reported.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::answer::{self, Answer};

/// One connection that is kept open.
pub(crate) struct Client {
    socket: TcpStream,
    address: SocketAddr,
    authorization: String,
}

/// Everything here answers within this, or is broken.
const LIMIT: Duration = Duration::from_mins(2);

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Result<Self> {
        let socket = TcpStream::connect_timeout(&address, Duration::from_secs(5))
            .with_context(|| format!("nobody listens on {address}"))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(LIMIT))?;
        socket.set_write_timeout(Some(LIMIT))?;
        Ok(Self { socket, address, authorization: String::new() })
    }

    /// Shows this token with every request.
    pub(crate) fn with_token(mut self, token: &str) -> Self {
        self.authorization = format!("authorization: Bearer {token}\r\n");
        self
    }

    /// Sends a request and reads its whole answer.
    pub(crate) fn send(&mut self, line: &str, kind: &str, body: &[u8]) -> Result<Answer> {
        let mut bytes = format!(
            "{line} HTTP/1.1\r\nHost: {}\r\n{}{}content-length: {}\r\n\r\n",
            self.address,
            self.authorization,
            if kind.is_empty() { String::new() } else { format!("content-type: {kind}\r\n") },
            body.len(),
        )
        .into_bytes();
        bytes.extend_from_slice(body);
        self.socket.write_all(&bytes)?;
        self.read(line)
    }

    /// Calls a function and returns how long that took.
    pub(crate) fn call(&mut self, path: &str, expected: &str) -> Result<Duration> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.address);
        let start = Instant::now();
        self.socket.write_all(request.as_bytes())?;
        let answer = self.read(path)?;
        let took = start.elapsed();
        let text = String::from_utf8_lossy(&answer.body);
        ensure!(answer.status == 200 && text == expected, "{path}: status {} with `{text}`", answer.status);
        Ok(took)
    }

    fn read(&mut self, what: &str) -> Result<Answer> {
        let mut bytes = Vec::with_capacity(4096);
        let mut buffer = [0; 16 << 10];
        loop {
            let read = self.socket.read(&mut buffer).with_context(|| format!("`{what}` gets no answer"))?;
            if read == 0 {
                bail!("`{what}`: the server hung up");
            }
            bytes.extend_from_slice(&buffer[..read]);
            if let Some(answer) = answer::parse(&bytes)? {
                ensure!(answer.length == bytes.len(), "`{what}`: bytes behind the answer");
                if answer.closes {
                    let token = std::mem::take(&mut self.authorization);
                    *self = Self::connect(self.address)?;
                    self.authorization = token;
                }
                return Ok(answer);
            }
        }
    }
}
