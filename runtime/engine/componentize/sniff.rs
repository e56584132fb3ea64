//! Names the kind of file that was uploaded instead of WebAssembly, from its first bytes.
//! Must never put more than a few escaped characters of it into a message.

use std::borrow::Cow;
use std::fmt::Write as _;

use wasmparser::Encoding;

use super::{COMPONENT, Refused};

/// Characters of one name in a message.
pub(in crate::engine) const NAME: usize = 80;
/// Characters of the start of an unknown text: such files may hold secrets, and messages are kept.
const START: usize = 24;
/// Characters of one text of a validator or encoder in a message.
pub(in crate::engine) const TEXT: usize = 400;
/// Names of one list in a message.
const LIST: usize = 8;
/// Bytes of a text that are looked at.
const HEAD: usize = 4096;

/// What to do about a file, by what it starts with. The first that fits wins.
const MAGICS: &[(&[u8], &str, &str)] = &[
    (b"\x1f\x8b", "a gzip archive", UNPACKED),
    (b"PK\x03\x04", "a zip archive", UNPACKED),
    (b"PK\x05\x06", "an empty zip archive", UNPACKED),
    (b"\x28\xb5\x2f\xfd", "a zstd archive", UNPACKED),
    (b"\xfd7zXZ\0", "an xz archive", UNPACKED),
    (b"BZh", "a bzip2 archive", UNPACKED),
    (b"MZ", "a Windows executable", COMPONENT),
    (b"\xfe\xed\xfa\xce", MACH_O, COMPONENT),
    (b"\xfe\xed\xfa\xcf", MACH_O, COMPONENT),
    (b"\xce\xfa\xed\xfe", MACH_O, COMPONENT),
    (b"\xcf\xfa\xed\xfe", MACH_O, COMPONENT),
    (b"\xca\xfe\xba\xbe", "a universal macOS executable or a Java class", COMPONENT),
    (b"!<arch>\n", "a static library", COMPONENT),
    (b"BC\xc0\xde", "LLVM bitcode", COMPONENT),
    (b"%PDF-", "a PDF document", COMPONENT),
    (b"\x89PNG", "a PNG image", COMPONENT),
];

const MACH_O: &str = "a macOS executable";
const UNPACKED: &str = "the .wasm file inside it";
const COMPILED: &str = "the .wasm file it was made from: compiled code is accepted from nobody";

/// What to do about a text, by a word it starts a line with. The first that fits wins.
const TEXTS: &[(&[&str], &str, &str)] = &[
    (
        &["(module", "(component", ";;", "(;"],
        "WebAssembly text (WAT)",
        "its binary form: `wasm-tools parse FILE -o FILE.wasm`",
    ),
    (&["<!doctype html", "<html"], "an HTML page", COMPONENT),
    (&["<?xml", "<svg"], "an XML document", COMPONENT),
    (&["package wasi:", "world ", "interface "], "a WIT definition", COMPONENT),
    (
        &[
            "import asyncio",
            "import componentize_py",
            "import os",
            "import sys",
            "import wit_world",
            "from ",
            "def ",
            "class ",
            "async def ",
            "@",
        ],
        "Python source",
        "the component that componentize-py makes of it",
    ),
    (
        &[
            "import ",
            "export ",
            "const ",
            "let ",
            "var ",
            "function ",
            "async function ",
            "addeventlistener(",
            "\"use strict\"",
            "'use strict'",
            "//",
            "/*",
        ],
        "JavaScript or TypeScript source",
        "the component that componentize-js makes of it",
    ),
    (
        &["use ", "fn ", "pub ", "mod ", "#!["],
        "Rust source",
        "what `cargo build --release --target wasm32-wasip2` makes of it",
    ),
    (&["package "], "Go or Java source", COMPONENT),
    (&["#include"], "C or C++ source", COMPONENT),
    (&["{", "["], "JSON", COMPONENT),
];

/// Whether these bytes say that they are a component or a module.
pub(in crate::engine) fn encoding(bytes: &[u8]) -> Result<Encoding, Refused> {
    let Some(rest) = bytes.strip_prefix(b"\0asm") else {
        return Err(not_wasm(bytes));
    };
    match rest {
        [1, 0, 0, 0, ..] => Ok(Encoding::Module),
        [13, 0, 1, 0, ..] => Ok(Encoding::Component),
        [version, 0, layer @ (0 | 1), 0, ..] => Err(Refused::InvalidWasm {
            why: format!(
                "its version is {version} (layer {layer}), known are modules of version 1 and components of version 13"
            ),
        }),
        _ if rest.len() < 4 => {
            Err(Refused::InvalidWasm { why: format!("it ends after {} bytes", bytes.len()) })
        }
        _ => Err(Refused::InvalidWasm { why: format!("its version is `{}`", hex::encode(&rest[..4])) }),
    }
}

fn not_wasm(bytes: &[u8]) -> Refused {
    let known = |found, works| Refused::NotWasm { found: Cow::Borrowed(found), works };
    if bytes.is_empty() {
        return known("an empty file", COMPONENT);
    }
    if bytes.starts_with(b"\x7fELF") {
        // The seventh byte is the system; wasmtime gives itself one.
        return if bytes.get(7) == Some(&200) {
            known("code precompiled by wasmtime (.cwasm)", COMPILED)
        } else {
            known("a Linux executable or library (ELF)", COMPONENT)
        };
    }
    if bytes.get(257..262) == Some(b"ustar") {
        return known("a tar archive", UNPACKED);
    }
    if let Some((_, found, works)) = MAGICS.iter().find(|(magic, ..)| bytes.starts_with(magic)) {
        return known(found, works);
    }
    if let Some(text) = text(bytes) {
        return source(text);
    }
    let head = hex::encode(&bytes[..bytes.len().min(8)]);
    Refused::NotWasm {
        found: Cow::Owned(format!("a file of an unknown kind that starts with `{head}`")),
        works: COMPONENT,
    }
}

/// The start of a file that is text; a character that the cut went through is left away.
fn text(bytes: &[u8]) -> Option<&str> {
    let head = &bytes[..bytes.len().min(HEAD)];
    let valid = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(e) if head.len() == HEAD && e.error_len().is_none() => {
            std::str::from_utf8(&head[..e.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    let printable = |c: char| !c.is_control() || c.is_ascii_whitespace();
    valid.chars().all(printable).then_some(valid)
}

fn source(text: &str) -> Refused {
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let first = text.lines().next().unwrap_or_default();
    if first.starts_with("#!/") {
        return Refused::NotWasm {
            found: Cow::Owned(format!("a script (`{}`)", bounded(first, NAME))),
            works: COMPONENT,
        };
    }
    // What a file is, its first telling line says: comments and blank lines tell nothing.
    let telling = text
        .lines()
        .map(|line| line.trim_start().to_ascii_lowercase())
        .filter(|line| !line.starts_with('#') || line.starts_with("#i") || line.starts_with("#!["))
        .find_map(|line| TEXTS.iter().find(|(words, ..)| words.iter().any(|word| line.starts_with(word))));
    if let Some((_, found, works)) = telling {
        return Refused::NotWasm { found: Cow::Borrowed(found), works };
    }
    Refused::NotWasm {
        found: Cow::Owned(format!("text that starts with `{}`", bounded(first, START))),
        works: COMPONENT,
    }
}

/// At most `most` characters of a hostile text, with nothing in it that moves a cursor or hides a character.
pub(in crate::engine) fn bounded(text: &str, most: usize) -> String {
    let mut out = String::new();
    for (n, c) in text.chars().enumerate() {
        if n == most {
            out.push_str("...");
            break;
        }
        match c {
            '\n' | '\t' => out.push(' '),
            // A back-quote would end the quotation it stands in.
            '`' => out.push('\''),
            '"' | '\'' | '\\' => out.push(c),
            _ => out.extend(c.escape_debug()),
        }
    }
    out
}

/// A list of names for a message: the first few, each bounded and quoted, and how many more there are.
pub(in crate::engine) fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut out = String::new();
    let mut more = 0_usize;
    for (n, name) in names.enumerate() {
        if n >= LIST {
            more += 1;
            continue;
        }
        let comma = if n == 0 { "" } else { ", " };
        let _ = write!(out, "{comma}`{}`", bounded(name, NAME));
    }
    if more > 0 {
        let _ = write!(out, " and {more} more");
    }
    out
}
