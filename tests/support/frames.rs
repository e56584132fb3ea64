//! HTTP/2 by hand: frames as they are on the wire, valid or not. Must never know what a frame is good for.

use super::Raw;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RESET: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// One frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a length").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The preface, and settings: identifier and value.
pub fn opening(settings: &[(u16, u32)]) -> Vec<u8> {
    let payload: Vec<u8> = settings
        .iter()
        .flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
        .collect();
    [PREFACE, &frame(SETTINGS, 0, 0, &payload)].concat()
}

/// The block of a request's head: nothing is indexed but what the standard's table has.
pub fn head(method: &str, path: &str) -> Vec<u8> {
    // `:method`, `:path` and `:authority` are names 2, 4 and 1 of the table; `:scheme: http` is its line 6.
    let literal = |name: u8, value: &str| [&[name, value.len() as u8], value.as_bytes()].concat();
    [literal(2, method), literal(4, path), literal(1, "a.test"), vec![0x86]].concat()
}

/// A whole GET.
pub fn get(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &head("GET", path))
}

/// A frame that came.
#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub payload: Vec<u8>,
}

/// The next frame; nothing once the server has closed.
pub fn next(raw: &mut Raw) -> Option<Frame> {
    let head = raw.bytes(9);
    let head: [u8; 9] = head.try_into().ok()?;
    let length = head[..3].iter().fold(0, |all, byte| all << 8 | u64::from(*byte));
    let payload = raw.bytes(length);
    Some(Frame { kind: head[3], payload })
}
