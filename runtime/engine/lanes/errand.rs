//! What the heavy lane runs that is no call: the start of an instance that is to show that it starts, say.
//! Must never go on for more than a slice after whoever waits for it has left.

#[cfg(test)]
mod tests;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::sync::oneshot;

use super::{Group, HeavyLane, Job, Work};
use crate::engine::ticker::Pulse;

/// Told the pulse of the thread that it is polled on.
pub(super) type Errand = Box<dyn FnMut(&mut Context<'_>, &Pulse) -> Poll<()> + Send>;

/// Ends what nobody waits for any more.
struct Waits(Arc<Job>);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.leave();
    }
}

impl HeavyLane {
    /// Runs something by turns with the calls of this group, and whoever else is there. `None` if it panicked or was thrown away.
    pub async fn run<T: Send + 'static>(
        &self,
        group: Group,
        mut poll: impl FnMut(&mut Context<'_>, &Pulse) -> Poll<T> + Send + 'static,
    ) -> Option<T> {
        let (done, result) = oneshot::channel();
        let mut done = Some(done);
        let errand: Errand = Box::new(move |cx, pulse| {
            // A panic costs whoever waits for it the result, and nobody else anything.
            let polled = catch_unwind(AssertUnwindSafe(|| poll(cx, pulse))).map(|polled| polled.map(Ok));
            let result = ready!(polled.unwrap_or_else(|panic| Poll::Ready(Err(panic))));
            if let (Some(done), Ok(result)) = (done.take(), result) {
                // Whoever waited may have left just now.
                let _ = done.send(result);
            }
            Poll::Ready(())
        });
        let _waits = Waits(self.job(group, (Work::Errand(errand), None), false));
        result.await.ok()
    }
}
