//! How many pages of memory one thread has taken from the kernel: what it wrote to, or read, for the first time.
//! Must never cost a thread anything while nobody asks.

#[cfg(test)]
mod tests;

use std::fs::File;
use std::os::unix::fs::FileExt as _;

/// More than the first fields take.
const BYTES: usize = 256;
/// The field of `stat` behind the one in parentheses, counted from there
/// (<https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>).
const MINOR_FAULTS: usize = 7;

/// Tells of the thread that made it.
pub struct TakenPages(Option<File>);

impl TakenPages {
    /// Of the calling thread.
    #[must_use]
    pub fn of_this_thread() -> Self {
        Self(File::open("/proc/thread-self/stat").ok())
    }

    /// Since the thread began, if the kernel tells. A system call of some microseconds.
    #[must_use]
    pub fn count(&self) -> Option<u64> {
        let mut stat = [0; BYTES];
        let read = self.0.as_ref().and_then(|file| file.read_at(&mut stat, 0).ok());
        read.and_then(|length| faults(stat.get(..length)?))
    }
}

fn faults(stat: &[u8]) -> Option<u64> {
    // A thread may have any name.
    let behind = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(stat.get(behind + 1..)?).ok()?;
    rest.split_ascii_whitespace().nth(MINOR_FAULTS)?.parse().ok()
}
