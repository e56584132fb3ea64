//! How much of an answer goes out before whatever else is ready on its thread has a turn.
//! Must never hold up an answer where nothing else is ready, nor let one go on for as long as its client takes it.

#[cfg(test)]
mod tests;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};

/// Bytes of an answer after which whatever else is ready on the thread has its turn: hyper would go on for as long as the
/// kernel takes them, and a few who download as fast as they can would keep everybody else waiting. The piece with which it
/// comes to that many goes out whole.
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
    Over(Arc<Others>),
}

/// Whether the others have had their turn. hyper asks a body again right after it has flushed, which says nothing of that.
#[derive(Debug)]
struct Others {
    done: AtomicBool,
    waker: Waker,
}

impl Wake for Others {
    fn wake(self: Arc<Self>) {
        self.done.store(true, Relaxed);
        self.waker.wake_by_ref();
    }
}

impl Stint {
    /// Whether somebody else has the turn now.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.turn, Turn::Over(_))
    }

    /// Ready while it is this answer's turn, of which so many bytes have been sent.
    pub fn poll(&mut self, sent: u64, cx: &mut Context<'_>) -> Poll<()> {
        match &self.turn {
            Turn::Over(others) if others.done.load(Relaxed) => {
                self.turn = Turn::Its;
                return Poll::Ready(());
            }
            // Its task is woken; a task that the body has moved to meanwhile asks for that itself.
            Turn::Over(others) if others.waker.will_wake(cx.waker()) => return Poll::Pending,
            Turn::Its if sent - self.began_at < BYTES => return Poll::Ready(()),
            Turn::Its => self.began_at = sent,
            Turn::First | Turn::Over(_) => {}
        }
        let others = Arc::new(Others { done: AtomicBool::new(false), waker: cx.waker().clone() });
        let waker = Waker::from(others.clone());
        self.turn = Turn::Over(others);
        // Its first poll has the task woken once the thread has looked for what came in meanwhile.
        pin!(tokio::task::yield_now()).poll(&mut Context::from_waker(&waker))
    }
}
