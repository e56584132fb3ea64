//! `multipart/form-data` (RFC 7578) taken apart as it comes. Pure: bytes in, events out.
//! Must never hold more than one chunk and one part's head: the library that axum brings reads ahead without a bound.

use bytes::{Buf as _, Bytes, BytesMut};

use super::problem::{Code, Refusal};

/// A multipart body, so far.
#[derive(Debug)]
pub struct Splitter {
    /// Line end, two dashes, the boundary.
    delimiter: Vec<u8>,
    buffer: BytesMut,
    state: State,
}

/// What comes next in the body.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// Nothing before more bytes are pushed.
    More,
    /// A part begins.
    Part {
        /// Its name in the form.
        name: String,
    },
    /// Some of its content.
    Data(Bytes),
    /// It ends.
    PartEnd,
    /// The last part has ended.
    Done,
}

/// What is wrong with the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Its type says no boundary, or none that is allowed.
    #[error("the `content-type` of a multipart body needs `boundary=` and 1 to 70 characters")]
    Boundary,
    /// It broke off.
    #[error("the multipart body ends before its last boundary")]
    Cut,
    /// A line that begins like a boundary and is none.
    #[error("a boundary is followed by something other than a line end or two dashes")]
    AfterBoundary,
    /// More head than is kept.
    #[error("the head of a part is longer than {HEAD_BYTES} bytes")]
    LongHead,
    /// A part that is no field of a form.
    #[error("a part has no `content-disposition: form-data; name=\"...\"`")]
    NoName,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the first boundary.
    Preamble,
    /// In a part's content.
    Content,
    /// Behind a boundary.
    Boundary,
    /// Before a part's content.
    Head,
    Done,
}

/// Bytes of the head of one part.
const HEAD_BYTES: usize = 4 * 1024;
/// Characters of a boundary (RFC 2046, section 5.1.1).
const BOUNDARY_MAX: usize = 70;

impl From<Malformed> for Refusal {
    fn from(error: Malformed) -> Self {
        Self::new(Code::InvalidMultipart, error.to_string())
    }
}

impl Splitter {
    /// For the body of a request with this `content-type`.
    ///
    /// # Errors
    /// [`Malformed::Boundary`].
    pub fn new(content_type: &str) -> Result<Self, Malformed> {
        let boundary = parameter(content_type, "boundary").ok_or(Malformed::Boundary)?;
        if boundary.is_empty()
            || boundary.len() > BOUNDARY_MAX
            || !boundary.bytes().all(|b| matches!(b, 32..=126))
        {
            return Err(Malformed::Boundary);
        }
        Ok(Self {
            delimiter: format!("\r\n--{boundary}").into_bytes(),
            // The first boundary needs no line end before it; with this one it is like the others.
            buffer: BytesMut::from(&b"\r\n"[..]),
            state: State::Preamble,
        })
    }

    /// Adds the next bytes of the body; all events of those before were taken.
    pub fn push(&mut self, chunk: &[u8]) {
        self.buffer.extend_from_slice(chunk);
    }

    /// The next event.
    ///
    /// # Errors
    /// What is wrong with the body; there is nothing to go on with after that.
    #[expect(clippy::should_implement_trait, reason = "it ends with an event, and asks for more in between")]
    pub fn next(&mut self) -> Result<Event, Malformed> {
        loop {
            match self.state {
                State::Preamble => {
                    if !self.skip_preamble() {
                        return Ok(Event::More);
                    }
                }
                State::Content => return Ok(self.content()),
                State::Boundary => match self.after_boundary()? {
                    Some(state) => self.state = state,
                    None => return Ok(Event::More),
                },
                State::Head => {
                    let Some(end) = find(&self.buffer, b"\r\n\r\n") else {
                        return if self.buffer.len() > HEAD_BYTES {
                            Err(Malformed::LongHead)
                        } else {
                            Ok(Event::More)
                        };
                    };
                    if end > HEAD_BYTES {
                        return Err(Malformed::LongHead);
                    }
                    let name = name(&self.buffer[..end]).ok_or(Malformed::NoName)?;
                    self.buffer.advance(end + 4);
                    self.state = State::Content;
                    return Ok(Event::Part { name });
                }
                State::Done => return Ok(Event::Done),
            }
        }
    }

    /// Drops what stands before the first boundary; true when it was found.
    fn skip_preamble(&mut self) -> bool {
        if let Some(at) = find(&self.buffer, &self.delimiter) {
            self.buffer.advance(at + self.delimiter.len());
            self.state = State::Boundary;
            return true;
        }
        let keep = self.buffer.len().min(self.delimiter.len() - 1);
        self.buffer.advance(self.buffer.len() - keep);
        false
    }

    fn content(&mut self) -> Event {
        if let Some(at) = find(&self.buffer, &self.delimiter) {
            if at > 0 {
                return Event::Data(self.buffer.split_to(at).freeze());
            }
            self.buffer.advance(self.delimiter.len());
            self.state = State::Boundary;
            return Event::PartEnd;
        }
        // The last bytes may be the first of a delimiter.
        let safe = self.buffer.len().saturating_sub(self.delimiter.len() - 1);
        if safe == 0 { Event::More } else { Event::Data(self.buffer.split_to(safe).freeze()) }
    }

    fn after_boundary(&mut self) -> Result<Option<State>, Malformed> {
        // Blanks may stand between a boundary and its line end.
        while let [b' ' | b'\t', ..] = *self.buffer {
            self.buffer.advance(1);
        }
        let state = match *self.buffer {
            [b'-', b'-', ..] => State::Done,
            [b'\r', b'\n', ..] => State::Head,
            [] | [b'-' | b'\r'] => return Ok(None),
            _ => return Err(Malformed::AfterBoundary),
        };
        self.buffer.advance(2);
        Ok(Some(state))
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let first = *needle.first()?;
    let mut from = 0;
    while let Some(at) = haystack[from..].iter().position(|byte| *byte == first) {
        let at = from + at;
        if haystack[at..].starts_with(needle) {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

/// The name of a form field, from the head of its part.
fn name(head: &[u8]) -> Option<String> {
    let head = std::str::from_utf8(head).ok()?;
    let value = head.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("content-disposition").then_some(value)
    })?;
    let kind = value.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("form-data").then(|| parameter(value, "name")).flatten()
}

/// A parameter of a header's value: `kind; name=token; other="quoted \" string"`.
fn parameter(value: &str, wanted: &str) -> Option<String> {
    let mut rest = value.split_once(';')?.1;
    loop {
        let (name, after) = rest.split_once('=')?;
        let (text, left) = if let Some(quoted) = after.strip_prefix('"') {
            unquote(quoted)?
        } else {
            let end = after.find(';').unwrap_or(after.len());
            (after[..end].trim().to_owned(), &after[end..])
        };
        if name.trim().eq_ignore_ascii_case(wanted) {
            return Some(text);
        }
        rest = left.trim_start().strip_prefix(';')?;
    }
}

/// The content of a quoted string, and what follows it.
fn unquote(quoted: &str) -> Option<(String, &str)> {
    let mut text = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((text, &quoted[at + 1..])),
            '\\' => text.push(characters.next()?.1),
            other => text.push(other),
        }
    }
    None
}
