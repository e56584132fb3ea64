//! One connection of an abuser, told apart by how each answer ended.
//! Must never go on for longer than somebody polls it, nor read or write much at once.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A connection.
pub(crate) struct Wire {
    socket: TcpStream,
    buffer: Vec<u8>,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// With a whole answer: its status, and the platform's code if it was the platform's.
    Answered { told: String, closes: bool },
    /// The server hung up, before the head or in the body.
    Cut { told: Option<String> },
}

/// What a connection is waited for.
const LIMIT: Duration = Duration::from_secs(1);
/// How long a flood waits for more of what the server says before it goes on.
const MOMENT: Duration = Duration::from_millis(5);
/// What is written at once. A kernel that preempts nobody within a system call would copy all eight megabytes of a body, and
/// receive them on the other side, before it lets anybody else on that core: which a client elsewhere does not do to a server.
const PIECE: usize = 16 << 10;
/// The end of a chunked answer; no guest here writes it.
const END: &[u8] = b"\r\n0\r\n\r\n";

impl Wire {
    pub(crate) async fn connect(address: SocketAddr) -> io::Result<Self> {
        let socket = tokio::time::timeout(LIMIT, TcpStream::connect(address)).await??;
        socket.set_nodelay(true)?;
        Ok(Self { socket, buffer: vec![0; PIECE] })
    }

    /// Writes all of it, unless the server takes no more.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        for piece in bytes.chunks(PIECE) {
            self.socket.write_all(piece).await?;
        }
        Ok(())
    }

    /// Writes all of it and reads what comes meanwhile, and for a moment longer. Returns whether the server goes on, and the
    /// statuses of HTTP/1.1 that were seen.
    pub(crate) async fn exchange(&mut self, bytes: &[u8]) -> (bool, Vec<String>) {
        let (mut read, mut write) = self.socket.split();
        let (mut came, mut buffer) = (vec![], vec![0; PIECE]);
        let mut written = 0;
        let goes_on = loop {
            let rest = &bytes[written..];
            let more = &rest[..rest.len().min(PIECE)];
            tokio::select! {
                done = write.write(more), if !more.is_empty() => match done {
                    Ok(1..) => written += done.unwrap_or(0),
                    _ => break false,
                },
                got = read.read(&mut buffer) => match got {
                    Ok(length @ 1..) => came.extend_from_slice(&buffer[..length]),
                    _ => break false,
                },
                () = tokio::time::sleep(MOMENT), if more.is_empty() => break true,
            }
        };
        (goes_on, statuses(&came))
    }

    /// Reads an answer to its end, and forgets its body.
    pub(crate) async fn answer(&mut self) -> Ended {
        let mut head = vec![];
        let (told, closes, mut left) = loop {
            if let Some(end) = head.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break understood(&head, end);
            }
            match self.read().await {
                0 => return Ended::Cut { told: None },
                read => head.extend_from_slice(&self.buffer[..read]),
            }
        };
        let mut tail = head;
        loop {
            match &left {
                Some(0) => return Ended::Answered { told, closes },
                None if tail.ends_with(END) => return Ended::Answered { told, closes },
                _ => {}
            }
            match self.read().await {
                0 => return Ended::Cut { told: Some(told) },
                read => {
                    left = left.map(|left| left.saturating_sub(read));
                    tail.drain(..tail.len().saturating_sub(END.len()));
                    tail.extend_from_slice(&self.buffer[read.saturating_sub(END.len())..read]);
                }
            }
        }
    }

    /// How many bytes came: none at the end of the connection, however it ended.
    async fn read(&mut self) -> usize {
        self.socket.read(&mut self.buffer).await.unwrap_or(0)
    }
}

/// The statuses of all heads in what came.
fn statuses(came: &[u8]) -> Vec<String> {
    let begin = b"HTTP/1.1 ";
    let heads = came.windows(begin.len() + 3).filter(|window| window.starts_with(begin));
    heads.map(|window| String::from_utf8_lossy(&window[begin.len()..]).into_owned()).collect()
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
