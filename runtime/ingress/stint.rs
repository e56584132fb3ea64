//! How much of an answer goes out before whatever else is ready on its thread has a turn.
//! Must never hold up an answer where nothing else is ready, nor let one go on for as long as its client takes it.

#[cfg(test)]
mod tests;

use std::pin::pin;
use std::task::{Context, Poll};

/// Bytes of an answer after which whatever else is ready on the thread has its turn: hyper would go on for as long as the
/// kernel takes them, and a few who download as fast as they can would keep everybody else waiting. Over HTTP/1 it asks once
/// more after it has flushed, so that it is twice as many there.
const BYTES: u64 = 32 * 1024;

/// Of one answer that streams.
#[derive(Debug, Default)]
pub struct Stint {
    turn: Turn,
    /// What was sent when the thread last had another turn.
    began_at: u64,
}

/// Whose turn it is on the thread.
#[derive(Debug, Default)]
enum Turn {
    /// What was gathered has yet to go out. hyper throws away what it has not sent, the head included, when a body breaks off: a
    /// guest that fails next is not to leave its client without an answer. Over HTTP/2 to a client that takes nothing it
    /// still may.
    #[default]
    First,
    /// This answer's.
    Its,
    /// Somebody else's.
    Over,
}

impl Stint {
    /// Whether somebody else has the turn now.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.turn, Turn::Over)
    }

    /// Ready while it is this answer's turn, of which so many bytes have been sent.
    pub fn poll(&mut self, sent: u64, cx: &mut Context<'_>) -> Poll<()> {
        match self.turn {
            Turn::Over => {
                self.turn = Turn::Its;
                return Poll::Ready(());
            }
            Turn::Its if sent - self.began_at < BYTES => return Poll::Ready(()),
            Turn::Its => self.began_at = sent,
            Turn::First => {}
        }
        self.turn = Turn::Over;
        // Its first poll has the task woken once the thread has looked for what came in meanwhile.
        pin!(tokio::task::yield_now()).poll(cx)
    }
}
