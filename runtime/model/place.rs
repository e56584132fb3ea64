//! Where in its source an instruction came from, as debug information has it and as a person reads it.
//! Must never show a path longer or wilder than a terminal bears: debug information is the guest's own.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One line of a source file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The file, as the compiler called it.
    file: String,
    /// From 1 on.
    line: u32,
}

/// Places of one instruction that are kept: where it stands, and where what it stands in was inlined.
pub const PLACES: usize = 4;
/// Characters of a file's path that are kept, from the end: what it ends in tells more than where it begins.
const FILE: usize = 160;

impl Place {
    /// A place, its path cut to what is kept.
    #[must_use]
    pub fn new(file: &str, line: u32) -> Self {
        Self { file: readable(file), line }
    }
}

/// ` at FILE:LINE`, and the places where that was inlined behind it; nothing where nothing is known.
#[must_use]
pub fn told(places: &[Place]) -> String {
    let mut text = String::new();
    for (n, Place { file, line }) in places.iter().take(PLACES).enumerate() {
        text.push_str(if n == 0 { " at " } else { ", inlined at " });
        // Bounded here too: a place may have come from a child that has read hostile bytes.
        text.push_str(&readable(file));
        text.push_str(&fmt::format(format_args!(":{line}")));
    }
    text
}

/// The end of a path, bounded and without control characters.
fn readable(file: &str) -> String {
    let harmless = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    match file.char_indices().rev().nth(FILE - 1) {
        Some((from, _)) if from > 0 => {
            "…".chars().chain(file[from..].chars().skip(1)).map(harmless).collect()
        }
        _ => file.chars().map(harmless).collect(),
    }
}

#[cfg(test)]
mod tests;
