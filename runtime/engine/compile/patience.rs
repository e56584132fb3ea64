//! Whether a child that runs only when nobody else wants to gets to run at all, and its end if it does not.
//! Must never wait without an end, not even for a child to be gone: it needs some of the cores for that.

#[cfg(test)]
mod tests;

use std::time::Duration;

use tokio::process::Child;
use tokio::sync::OwnedSemaphorePermit;

use crate::tasks;

/// How often that is looked at, and how often at most: then it is a matter of more than a moment.
const WINDOW: Duration = Duration::from_millis(250);
const WINDOWS: u32 = 8;
/// Of the CPU, in the kernel's ticks of 10 ms, that a child has in a window while it gets on: a fifth of one core.
const LEAST: u64 = 5;
/// What a child that was killed is waited for.
const GONE: Duration = Duration::from_millis(500);

/// Ends once a child had next to nothing of the CPU for one window, because others want all of it or because it waits for
/// something else; at the latest with the last window.
pub(super) async fn patience(child: Option<u32>) {
    let mut before = 0;
    for _ in 0..WINDOWS {
        tokio::time::sleep(WINDOW).await;
        match child.and_then(used) {
            Some(used) if used < before + LEAST => return,
            Some(used) => before = used,
            // It has ended, or that cannot be read now.
            None => {}
        }
    }
}

/// Kills a child. It keeps its place until it is gone, which nobody waits for any longer than a moment.
pub(super) async fn bury(mut child: Child, place: OwnedSemaphorePermit) {
    // One that has ended by itself cannot be killed.
    let _ = child.start_kill();
    if tokio::time::timeout(GONE, child.wait()).await.is_err() {
        drop(tasks::detached(async move {
            let _ = child.wait().await;
            drop(place);
        }));
    }
}

/// The CPU time of all threads of a process that has not ended, in ticks.
fn used(child: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).ok()?;
    // Its name, which may hold anything, is in parentheses. Behind it comes the state, and eleven fields on the times as a
    // user and in the kernel.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    if fields.next()? == "Z" {
        return None;
    }
    let mut times = fields.skip(10).map(str::parse::<u64>);
    Some(times.next()?.ok()? + times.next()?.ok()?)
}
