//! Just enough of HTTP/1.1 to know that an answer is whole and right.
//! Must never take an answer for good that a browser would not.

use anyhow::{Context as _, Result, bail, ensure};

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    /// Bytes it took.
    pub(crate) length: usize,
    /// Whether the server is about to hang up.
    pub(crate) closes: bool,
}

/// What a right answer of one function looks like, for recognising it at a glance.
pub(crate) struct Expected {
    body: Vec<u8>,
    /// How it ends with a declared length, and in one chunk.
    ends: [Vec<u8>; 2],
}

/// What has come so far.
pub(crate) enum Verdict {
    Incomplete,
    Right { closes: bool },
    Wrong(String),
}

const OK: &[u8] = b"HTTP/1.1 200 ";

impl Expected {
    pub(crate) fn new(body: &str) -> Self {
        let whole = format!("\r\n\r\n{body}");
        let chunk = format!("\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
        Self { body: body.into(), ends: [whole.into(), chunk.into()] }
    }

    /// Judges what was read since the request went out.
    pub(crate) fn judge(&self, bytes: &[u8]) -> Verdict {
        // The head of an answer holds no empty line, and the bodies that are expected here hold none either.
        if bytes.starts_with(OK) && self.ends.iter().any(|end| bytes.ends_with(end)) {
            return Verdict::Right { closes: false };
        }
        match parse(bytes) {
            Ok(None) => Verdict::Incomplete,
            Err(error) => Verdict::Wrong(format!("{error:#}")),
            Ok(Some(answer)) if answer.status == 200 && answer.body == self.body => {
                Verdict::Right { closes: answer.closes }
            }
            Ok(Some(answer)) => {
                let body = String::from_utf8_lossy(&answer.body);
                let start: String = body.chars().take(200).collect();
                Verdict::Wrong(format!("status {} with `{}`", answer.status, start.trim()))
            }
        }
    }
}

/// Judges an answer that is to have this status; its body is the server's.
pub(crate) fn fails_with(bytes: &[u8], status: u16) -> Verdict {
    match parse(bytes) {
        Ok(None) => Verdict::Incomplete,
        Err(error) => Verdict::Wrong(format!("{error:#}")),
        Ok(Some(answer)) if answer.status == status => Verdict::Right { closes: answer.closes },
        Ok(Some(answer)) => Verdict::Wrong(format!("status {} and not {status}", answer.status)),
    }
}

/// The answer at the start of `bytes`, once it is whole.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Answer>> {
    let Some(head) = find(bytes, b"\r\n\r\n") else {
        ensure!(bytes.len() < 64 << 10, "a head without an end");
        return Ok(None);
    };
    let text = std::str::from_utf8(&bytes[..head])?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 "));
    let status = status.and_then(|line| line.get(..3)).context("no status line")?.parse()?;
    let (mut length, mut chunked, mut closes) = (None, false, false);
    for line in lines {
        let (name, value) = line.split_once(':').context("a field without a name")?;
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = Some(value.parse::<usize>()?),
            "transfer-encoding" => chunked = value.eq_ignore_ascii_case("chunked"),
            "connection" => closes = value.eq_ignore_ascii_case("close"),
            _ => {}
        }
    }
    let rest = &bytes[head + 4..];
    let whole = match (chunked, length) {
        (true, _) => chunks(rest)?,
        (false, Some(length)) => rest.get(..length).map(|body| (body.to_vec(), length)),
        (false, None) if status == 204 => Some((vec![], 0)),
        (false, None) => bail!("neither a length nor chunks"),
    };
    Ok(whole.map(|(body, taken)| Answer { status, body, length: head + 4 + taken, closes }))
}

fn chunks(mut rest: &[u8]) -> Result<Option<(Vec<u8>, usize)>> {
    let (mut body, all) = (vec![], rest.len());
    loop {
        let Some(line) = find(rest, b"\r\n") else { return Ok(None) };
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line])?, 16)?;
        let Some(chunk) = rest.get(line + 2..line + 2 + size + 2) else { return Ok(None) };
        ensure!(chunk.ends_with(b"\r\n"), "a chunk longer than it says");
        body.extend_from_slice(&chunk[..size]);
        rest = &rest[line + 2 + size + 2..];
        if size == 0 {
            return Ok(Some((body, all - rest.len())));
        }
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
