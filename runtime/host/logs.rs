//! What a guest prints: whole lines, made harmless, at a bounded rate, into the server's log; and the last ones of each
//! store into its notes.
//! Must never block a guest, grow with what it prints, or let it write a control character to a terminal.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError};

use super::meter::{Meter, now_ns};
use crate::faults;

/// Bytes of one line that are kept.
const LINE_BYTES: usize = 1024;
/// Lines of one function that are logged in one second.
const LINES_PER_SECOND: u64 = 100;

/// Where the guests of one function print to.
#[derive(Clone, Debug)]
pub struct GuestLog(Arc<Shared>);

/// Where one store prints to.
#[derive(Clone, Debug)]
pub struct StoreLog {
    log: GuestLog,
    meter: Arc<Meter>,
}

#[derive(Debug)]
struct Shared {
    function: String,
    /// The second that `lines` belongs to.
    second: AtomicU64,
    lines: AtomicU64,
}

impl GuestLog {
    /// A log whose lines carry `function` (`tenant/function`).
    #[must_use]
    pub fn new(function: String) -> Self {
        Self(Arc::new(Shared { function, second: AtomicU64::new(0), lines: AtomicU64::new(0) }))
    }

    /// The log of one store, whose last lines stay in `meter`.
    #[must_use]
    pub fn of(&self, meter: &Arc<Meter>) -> StoreLog {
        StoreLog { log: self.clone(), meter: meter.clone() }
    }

    fn line(&self, line: &[u8]) {
        let second = now_ns() / 1_000_000_000;
        if self.0.second.swap(second, Relaxed) != second {
            self.0.lines.store(0, Relaxed);
        }
        let nth = self.0.lines.fetch_add(1, Relaxed);
        let function = self.0.function.as_str();
        if nth < LINES_PER_SECOND {
            let text = harmless(line);
            tracing::info!(target: "spawnpoint::guest", function, "{text}");
        } else if nth == LINES_PER_SECOND {
            tracing::warn!(target: "spawnpoint::guest", function, "more than {LINES_PER_SECOND} lines in a second: dropped until the next");
        }
    }
}

impl StoreLog {
    fn line(&self, line: &[u8]) {
        self.meter.says(line);
        self.log.line(line);
    }
}

/// The line as text without control characters, which a terminal would obey.
#[must_use]
pub fn harmless(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let keep = |c: char| if c.is_control() && c != '\t' { '\u{fffd}' } else { c };
    text.chars().map(keep).collect()
}

impl IsTerminal for StoreLog {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for StoreLog {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(LineWriter::new(self.clone()))
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(LineWriter::new(self.clone()))
    }
}

/// Cuts what is written into lines. One for each stream of each instance.
struct LineWriter {
    log: StoreLog,
    line: Vec<u8>,
}

impl LineWriter {
    fn new(log: StoreLog) -> Self {
        Self { log, line: Vec::new() }
    }

    fn push(&mut self, bytes: &[u8]) {
        faults::pass("host.print");
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            let (text, ends) = match piece.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (piece, false),
            };
            let room = LINE_BYTES - self.line.len();
            self.line.extend_from_slice(&text[..text.len().min(room)]);
            if ends {
                self.log.line(&self.line);
                self.line.clear();
            }
        }
    }
}

impl Drop for LineWriter {
    fn drop(&mut self) {
        // Two destructors that panic in one store would end the process, and a guest has one of these for each stream.
        let told = catch_unwind(AssertUnwindSafe(|| {
            faults::pass("host.drop");
            if !self.line.is_empty() {
                self.log.line(&self.line);
            }
        }));
        // The panic has been printed, and logging is what has just failed.
        drop(told);
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for LineWriter {
    async fn ready(&mut self) {}
}

impl OutputStream for LineWriter {
    fn write(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        self.push(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StreamError> {
        Ok(())
    }

    fn check_write(&mut self) -> Result<usize, StreamError> {
        Ok(64 * 1024)
    }
}

impl AsyncWrite for LineWriter {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.push(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
