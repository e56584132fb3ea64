//! The only file that prints: what was asked for goes to stdout, everything else to stderr.
//! Must never panic because nobody reads, nor pass on a character that moves a terminal's cursor.

use std::io::{self, IsTerminal as _, Write as _};
use std::net::SocketAddr;

use comfy_table::{LineStyle, Table, presets};
use serde::Serialize;

use super::bench::BenchError;
use super::client::ClientError;

/// Nobody reads stdout any more.
#[derive(Debug, thiserror::Error)]
#[error("stdout is closed")]
pub(super) struct Closed;

/// Writes one line to stdout.
pub(super) fn line(text: &str) -> anyhow::Result<()> {
    bytes(format!("{text}\n").as_bytes())
}

/// Writes JSON for people to read and programs to parse.
pub(super) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    line(&serde_json::to_string_pretty(value)?)
}

/// Writes the one line that tells whoever started a server that it accepts, and where.
///
/// # Errors
/// When stdout cannot be written.
pub(super) fn ready(ingress: SocketAddr, admin: SocketAddr, as_json: bool) -> anyhow::Result<()> {
    let (ingress, admin) = (format!("http://{ingress}"), format!("http://{admin}"));
    let text = if as_json {
        serde_json::json!({ "ready": true, "ingress": ingress, "admin": admin }).to_string()
    } else {
        format!("ready ingress={ingress} admin={admin}")
    };
    match line(&text) {
        // A server outlives whoever waited for it.
        Err(error) if error.is::<Closed>() => Ok(()),
        other => other,
    }
}

/// Writes bytes as they are. Flushed, because what streams must be seen when it arrives.
pub(super) fn bytes(bytes: &[u8]) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Closed.into()),
        Err(error) => Err(anyhow::Error::new(error).context("stdout cannot be written")),
    }
}

/// Writes a table: a rule below its head on a terminal, plain columns anywhere else.
pub(super) fn table(head: &[&str], rows: Vec<Vec<String>>) -> anyhow::Result<()> {
    line(&laid_out(head, rows, io::stdout().is_terminal()))
}

/// Tells whoever is watching what goes on.
pub(super) fn note(text: &str) {
    // With stderr gone there is nobody left to tell.
    let _ = writeln!(io::stderr().lock(), "{}", visible(text));
}

/// Says why a command failed, with every cause, and what to do about it.
pub(super) fn error(error: &anyhow::Error) {
    note(&format!("error: {error:#}"));
    let hint = error.downcast_ref().and_then(ClientError::hint);
    if let Some(hint) = hint.or_else(|| error.downcast_ref().map(BenchError::hint)) {
        note(&format!("hint: {hint}"));
    }
}

/// What clap has to say: help and versions to stdout, mistakes to stderr.
pub(super) fn usage(error: &clap::Error) {
    // Nobody reads: nothing is lost.
    let _ = error.print();
}

/// Whether a progress bar would be seen.
pub(super) fn is_watched() -> bool {
    io::stderr().is_terminal()
}

pub(super) fn laid_out(head: &[&str], rows: Vec<Vec<String>>, ruled: bool) -> String {
    let rule = LineStyle::none().fill('─').junction('─');
    let mut table = Table::new();
    table.load_style(if ruled { presets::NOTHING.header_separator(rule) } else { presets::NOTHING });
    table.set_header(head.to_vec());
    table.add_rows(rows.into_iter().map(|row| row.into_iter().map(|cell| visible(&cell))));
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let lines: Vec<_> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}

/// `text` without control characters, which could rewrite what the terminal shows. Line breaks stay.
pub(super) fn visible(text: &str) -> String {
    let shown = |c: char| if c.is_control() && c != '\n' { '\u{fffd}' } else { c };
    text.chars().map(shown).collect()
}

/// A size for people.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 3] = ["KiB", "MiB", "GiB"];
    let (mut tenths, mut unit) = (bytes.saturating_mul(10), "B");
    for next in UNITS {
        if tenths < 10_240 {
            break;
        }
        (tenths, unit) = (tenths / 1_024, next);
    }
    match (unit, tenths % 10) {
        ("B", _) => format!("{bytes} B"),
        (_, tenth) => format!("{}.{tenth} {unit}", tenths / 10),
    }
}

/// How long ago something was, for people.
pub(super) fn age(then_ms: u64) -> String {
    long(now_ms().saturating_sub(then_ms) / 1_000)
}

/// How long it is until something, for people: never sooner than is true.
pub(super) fn left(until_ms: u64) -> String {
    long(until_ms.saturating_sub(now_ms()).div_ceil(1_000))
}

fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

fn long(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}
