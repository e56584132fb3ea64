//! What no client in good faith sends, by the byte: HTTP/1.1 that is doubtful, HTTP/2 that never stops.
//! Must never make the same bytes so large that making them is what keeps the machine busy.

use std::fmt::Write as _;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flood {
    /// Bodies that end in more trailers than anybody reads.
    Trailers,
    /// Framing that two readers could take for two things.
    Framing,
    /// Many requests at once.
    Pipelining,
    /// Streams that are reset as soon as they are opened.
    RapidReset,
    /// Streams, and never an end of one.
    Streams,
    Pings,
}

/// Requests, streams or frames in one piece.
const PIECE: u32 = 100;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const PING: u8 = 6;
/// The flags `END_HEADERS` and `END_STREAM`.
const WHOLE: u8 = 4 | 1;
/// A preface, and settings that set nothing.
const OPENING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

impl Flood {
    /// What is sent on a connection as its piece of that number.
    pub(crate) fn piece(self, function: &str, number: u32) -> Vec<u8> {
        let post = format!("POST {function}/?ms=0 HTTP/1.1\r\nhost: a.test\r\n");
        match self {
            Self::Trailers => {
                let mut text = format!("{post}transfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n");
                for trailer in 0..10_000 {
                    // Writing to a string cannot fail.
                    let _ = write!(text, "x-{trailer}: t\r\n");
                }
                (text + "\r\n").into_bytes()
            }
            Self::Framing => {
                let rest = match number % 4 {
                    0 => "content-length: 4\r\ncontent-length: 5\r\n\r\nGET /",
                    1 => "content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
                    2 => "transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
                    _ => "content-length: +4\r\n\r\nGET /",
                };
                (post + rest).into_bytes()
            }
            Self::Pipelining => {
                let get = format!("GET {function}/ HTTP/1.1\r\nhost: a.test\r\n\r\n");
                get.repeat(PIECE as usize).into_bytes()
            }
            Self::RapidReset | Self::Streams | Self::Pings => {
                let mut bytes = if number == 0 { OPENING.to_vec() } else { vec![] };
                for n in 0..PIECE {
                    // Odd ones are a client's.
                    let stream = (number * PIECE + n) * 2 + 1;
                    match self {
                        Self::Pings => bytes.extend(frame(PING, 0, 0, &[7; 8])),
                        _ => bytes.extend(frame(HEADERS, WHOLE, stream, &head(&format!("{function}/")))),
                    }
                    if self == Self::RapidReset {
                        bytes.extend(frame(RESET, 0, stream, &8_u32.to_be_bytes()));
                    }
                }
                bytes
            }
        }
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The head of a GET, of nothing but literals and what the table of the standard has.
fn head(path: &str) -> Vec<u8> {
    let literal =
        |name: u8, value: &str| [&[name, u8::try_from(value.len()).unwrap_or(0)], value.as_bytes()].concat();
    [vec![0x82], literal(4, path), literal(1, "a.test"), vec![0x86]].concat()
}
