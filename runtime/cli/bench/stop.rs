//! Ctrl-C and SIGTERM as a wish to end early. Must never end the process: what was deployed is still to be removed.

use tokio::sync::watch;

use crate::cli::print;
use crate::cli::serve::Ends;
use crate::tasks;

/// Whether somebody wants it to end.
#[derive(Clone)]
pub(super) struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Listens from now on, on the calling runtime.
    pub(super) fn listen() -> anyhow::Result<Self> {
        let mut ends = Ends::listen()?;
        let (set, seen) = watch::channel(false);
        tasks::detached(async move {
            ends.wait().await;
            set.send_replace(true);
            print::note("ending early: what was measured so far follows");
            // A second signal changes nothing: every wait from here on is short or bounded.
            loop {
                ends.wait().await;
                print::note("still ending: what was deployed is removed first");
            }
        });
        Ok(Self(seen))
    }

    pub(super) fn is_set(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it is set.
    pub(super) async fn wait(&mut self) {
        // The sender stays for as long as the runtime; with it gone there is nobody left to wait for.
        if self.0.wait_for(|set| *set).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
