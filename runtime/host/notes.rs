//! What one store leaves behind for its record: the last lines it printed, and where it was when it failed.
//! Must never cost a guest that prints nothing anything, nor keep more of one that prints a lot.

use std::collections::VecDeque;

use crate::model::frame::Frame;

/// Lines that are kept.
const LINES: usize = 16;
/// Bytes of all kept lines together.
const BYTES: usize = 4 * 1024;

/// What was noted of one call.
#[derive(Debug, Default)]
pub struct Notes {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    backtrace: Vec<Frame>,
}

impl Notes {
    /// Keeps a line, at the expense of the oldest ones. In a flood the room of an old line is used again.
    pub fn line(&mut self, line: &[u8]) {
        let line = line.get(..BYTES).unwrap_or(line);
        let mut room = Vec::new();
        while self.lines.len() >= LINES || (!self.lines.is_empty() && self.bytes + line.len() > BYTES) {
            room = self.lines.pop_front().unwrap_or_default();
            self.bytes -= room.len();
        }
        room.clear();
        room.extend_from_slice(line);
        self.bytes += line.len();
        self.lines.push_back(room);
    }

    /// Keeps where the guest was.
    pub fn at(&mut self, backtrace: Vec<Frame>) {
        self.backtrace = backtrace;
    }

    /// The lines, oldest first, and the frames, innermost first.
    #[must_use]
    pub fn into_parts(self) -> (Vec<Vec<u8>>, Vec<Frame>) {
        (self.lines.into(), self.backtrace)
    }
}

#[cfg(test)]
mod tests;
