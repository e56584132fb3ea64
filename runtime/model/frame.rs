//! Where a guest was when it failed: one function on its stack, as the engine tells it and as a person reads it.
//! Must never show a name longer or wilder than a terminal bears: names are the guest's own.

use std::fmt::{self, Write as _};

/// One function on a guest's stack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// Its name as the module's name section has it, mangled; at most [`NAME_BYTES`] of it.
    pub name: Option<Box<str>>,
    /// Its index within its module.
    pub index: u32,
    /// Where in the component's bytes it was.
    pub offset: Option<u64>,
}

/// Bytes of a mangled name that are kept. A name cut there is shown as it is.
pub const NAME_BYTES: usize = 256;
/// Characters of a name that are shown: demangling may make a short name very long.
const SHOWN: usize = 120;

impl Frame {
    /// A frame, its name cut to what is kept.
    #[must_use]
    pub fn new(name: Option<&str>, index: u32, offset: Option<u64>) -> Self {
        let name = name.map(|name| name.get(..name.floor_char_boundary(NAME_BYTES)).unwrap_or("").into());
        Self { name, index, offset }
    }

    /// Bytes it takes in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.name.as_ref().map_or(0, |name| name.len())
    }
}

/// `fail::trap @ 0x1a2b`, or `function 17 @ 0x1a2b` where the module has no names.
impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => f.write_str(&readable(name))?,
            None => write!(f, "function {}", self.index)?,
        }
        self.offset.map_or(Ok(()), |offset| write!(f, " @ {offset:#x}"))
    }
}

/// A name demangled, bounded, and without control characters.
fn readable(name: &str) -> String {
    let mut text = Bounded { text: String::new(), left: SHOWN };
    // The only error is that there is no more room, and then the text ends in an ellipsis.
    let _ = write!(text, "{:#}", rustc_demangle::demangle(name));
    text.text
}

/// A text that ends in an ellipsis where its room does. Refusing the rest is what stops a demangler on its way to
/// a megabyte.
struct Bounded {
    text: String,
    left: usize,
}

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if self.left == 0 {
                self.text.push('…');
                return Err(fmt::Error);
            }
            self.left -= 1;
            self.text.push(if c.is_control() { '\u{fffd}' } else { c });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
