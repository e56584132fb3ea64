//! HTTP/1.1 by hand: what a test sends is what it wrote, byte for byte.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::PATIENCE;

/// One answer, whole.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub trailers: Vec<(String, String)>,
    /// Whether the body ended as its head promised.
    pub whole: bool,
}

impl Answer {
    /// The first header of this name, or nothing.
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }

    /// The code of an answer that the platform made; empty for a guest's.
    pub fn code(&self) -> &str {
        self.header("x-spawnpoint-error")
    }

    /// Every value of the headers of this name.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// The first trailer of this name, or nothing.
    pub fn trailer(&self, name: &str) -> &str {
        let found = self.trailers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e} in {}", self.text()))
    }
}

/// One connection.
pub struct Raw {
    reader: BufReader<TcpStream>,
}

impl Raw {
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the server accepts");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { reader: BufReader::new(stream) }
    }

    /// As [`Raw::connect`], with a receive buffer so small that the server soon has to wait for this client.
    #[track_caller]
    pub fn connect_narrow(address: SocketAddr) -> Self {
        use rustix::net::{AddressFamily, SocketType, connect, socket, sockopt};
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
        sockopt::set_socket_recv_buffer_size(&socket, 4096).expect("a small buffer");
        connect(&socket, &address).expect("the server accepts");
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { reader: BufReader::with_capacity(1024, stream) }
    }

    /// Reads exactly so many bytes of whatever comes; fewer when the connection ended.
    pub fn bytes(&mut self, count: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        let _ = self.reader.by_ref().take(count).read_to_end(&mut bytes);
        bytes
    }

    pub fn stream(&self) -> &TcpStream {
        self.reader.get_ref()
    }

    /// Sends these bytes. A server that has closed is noticed when the answer is read.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let _ = self.reader.get_mut().write_all(bytes.as_ref());
        self
    }

    /// Reads one answer; `None` when the connection ended before a head.
    pub fn answer(&mut self) -> Option<Answer> {
        self.answer_to("GET")
    }

    /// As [`Raw::answer`], for an answer to this method: one to HEAD has no body.
    pub fn answer_to(&mut self, method: &str) -> Option<Answer> {
        let head = self.head()?;
        let mut lines = head.lines();
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers = fields(lines);
        let mut answer = Answer { status, headers, body: Vec::new(), trailers: Vec::new(), whole: true };
        let bodiless = method == "HEAD" || matches!(status, 100..=199 | 204 | 304);
        if bodiless {
            return Some(answer);
        }
        if answer.header("transfer-encoding") == "chunked" {
            answer.whole = self.chunks(&mut answer).is_some();
        } else if let Ok(length) = answer.header("content-length").parse::<u64>() {
            let read = self.reader.by_ref().take(length).read_to_end(&mut answer.body);
            answer.whole = read.is_ok() && answer.body.len() as u64 == length;
        } else {
            answer.whole = self.reader.read_to_end(&mut answer.body).is_ok();
        }
        Some(answer)
    }

    /// The head alone.
    pub fn head(&mut self) -> Option<String> {
        let mut head = String::new();
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if line == "\r\n" {
                return Some(head);
            }
            head.push_str(&line);
        }
    }

    /// One chunk of a chunked body; empty for the last one.
    pub fn chunk(&mut self) -> Option<Vec<u8>> {
        let mut line = String::new();
        self.reader.read_line(&mut line).ok()?;
        let size = usize::from_str_radix(line.trim(), 16).ok()?;
        let mut bytes = vec![0; size];
        self.reader.read_exact(&mut bytes).ok()?;
        if size > 0 {
            let mut end = [0; 2];
            self.reader.read_exact(&mut end).ok()?;
        }
        Some(bytes)
    }

    fn chunks(&mut self, answer: &mut Answer) -> Option<()> {
        loop {
            let chunk = self.chunk()?;
            if chunk.is_empty() {
                // Trailers, if any, up to the empty line.
                answer.trailers = fields(self.head()?.lines());
                return Some(());
            }
            answer.body.extend_from_slice(&chunk);
        }
    }

    /// Whether the server has closed, without another byte.
    pub fn is_closed(&mut self) -> bool {
        matches!(self.reader.fill_buf(), Ok([]) | Err(_))
    }
}

fn fields<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<(String, String)> {
    lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
        .collect()
}

/// One request on a connection of its own.
#[track_caller]
pub fn request(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let mut head = format!("{method} {target} HTTP/1.1\r\nconnection: close\r\n");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        head.push_str(&format!("host: {address}\r\n"));
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        head.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    let mut raw = Raw::connect(address);
    let answer = raw.send(head).send(body).answer_to(method);
    answer.unwrap_or_else(|| panic!("no answer to {method} {target}"))
}

/// GET on a connection of its own.
#[track_caller]
pub fn get(address: SocketAddr, target: &str) -> Answer {
    request(address, "GET", target, &[], &[])
}
