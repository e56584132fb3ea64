//! One connection of an abuser: blocking, interruptible, and told apart by how each answer ended.
//! Must never outlive the abuse: every wait looks at the stop flag.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

/// A connection.
pub(crate) struct Wire<'a> {
    socket: TcpStream,
    stop: &'a AtomicBool,
    buffer: Vec<u8>,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// With a whole answer: its status, and the platform's code if it was the platform's.
    Answered { told: String, closes: bool },
    /// The server hung up, before the head or in the body.
    Cut { told: Option<String> },
    /// The abuse is over.
    Stopped,
}

/// How often a wait looks whether the abuse is over.
const LOOK: Duration = Duration::from_millis(20);
/// What is written at once. A kernel that preempts nobody within a system call would copy all eight megabytes of a body, and
/// receive them on the other side, before it lets anybody else on that core: which a client elsewhere does not do to a server.
const PIECE: usize = 16 << 10;
/// The end of a chunked answer; no guest here writes it.
const END: &[u8] = b"\r\n0\r\n\r\n";

impl<'a> Wire<'a> {
    pub(crate) fn connect(address: SocketAddr, stop: &'a AtomicBool) -> io::Result<Self> {
        let socket = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(LOOK))?;
        socket.set_write_timeout(Some(LOOK))?;
        Ok(Self { socket, stop, buffer: vec![0; PIECE] })
    }

    /// Writes all of it, unless the abuse ends or the server takes no more.
    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() && !self.stop.load(Relaxed) {
            match self.socket.write(&bytes[..bytes.len().min(PIECE)]) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if waits(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads an answer to its end, and forgets its body.
    pub(crate) fn answer(&mut self) -> Ended {
        let mut head = vec![];
        let (told, closes, mut left) = loop {
            if let Some(end) = head.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break understood(&head, end);
            }
            match self.read() {
                Some(0) => return Ended::Cut { told: None },
                Some(read) => head.extend_from_slice(&self.buffer[..read]),
                None => return Ended::Stopped,
            }
        };
        let mut tail = head;
        loop {
            match &left {
                Some(0) => return Ended::Answered { told, closes },
                None if tail.ends_with(END) => return Ended::Answered { told, closes },
                _ => {}
            }
            match self.read() {
                Some(0) => return Ended::Cut { told: Some(told) },
                Some(read) => {
                    left = left.map(|left| left.saturating_sub(read));
                    tail.drain(..tail.len().saturating_sub(END.len()));
                    tail.extend_from_slice(&self.buffer[read.saturating_sub(END.len())..read]);
                }
                None => return Ended::Stopped,
            }
        }
    }

    /// Holds the connection without reading from it, until the abuse ends.
    pub(crate) fn hold(&self) {
        while !self.stop.load(Relaxed) {
            std::thread::sleep(LOOK);
        }
    }

    /// How many bytes came: none at the end of the connection, nothing when the abuse is over.
    fn read(&mut self) -> Option<usize> {
        while !self.stop.load(Relaxed) {
            match self.socket.read(&mut self.buffer) {
                Ok(read) => return Some(read),
                Err(error) if waits(&error) => {}
                Err(_) => return Some(0),
            }
        }
        None
    }
}

fn waits(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// What a head says, whether it is the last answer, and how much of its body is still to come, if it says so.
fn understood(bytes: &[u8], end: usize) -> (String, bool, Option<usize>) {
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let field = |name: &str| {
        let lines = head.lines().skip(1);
        lines.filter_map(|line| line.split_once(':')).find(|(key, _)| *key == name).map(|(_, v)| v.trim())
    };
    let status = head.get(9..12).unwrap_or("???");
    let told = match field("x-spawnpoint-error") {
        Some(code) => format!("{status} {code}"),
        None => status.to_owned(),
    };
    let came = bytes.len() - end - 4;
    let left = field("content-length").and_then(|length| length.parse::<usize>().ok());
    (told, field("connection") == Some("close"), left.map(|length| length.saturating_sub(came)))
}
