//! Whether a child that runs only when nobody else wants to gets to run at all.
//! Must never read anything but what the kernel says of that child.

#[cfg(test)]
mod tests;

use std::time::Duration;

/// How often that is looked at.
const WINDOW: Duration = Duration::from_millis(250);
/// Of the CPU, in the kernel's ticks of 10 ms, that a child has in a window while it gets on: a fifth of one core.
const LEAST: u64 = 5;

/// Ends once a child has had next to nothing of the CPU for a moment: others want all of it. One that waits for something
/// else counts as well.
pub(super) async fn starves(child: Option<u32>) {
    let mut before = 0;
    loop {
        tokio::time::sleep(WINDOW).await;
        let Some(used) = child.and_then(used) else { return };
        if used < before + LEAST {
            return;
        }
        before = used;
    }
}

/// The CPU time of all threads of a process, in ticks.
fn used(child: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).ok()?;
    // Its name, which may hold anything, is in parentheses; eleven fields on come the times as a user and in the kernel.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_ascii_whitespace().skip(11).map(str::parse::<u64>);
    Some(times.next()?.ok()? + times.next()?.ok()?)
}
