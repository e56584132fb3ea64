//! Failpoints: named places where a test has the machine fail. Builds with debug assertions have them, and those with
//! the feature `failpoints`; in a release [`at`] is an empty function and nothing can switch one on.
//! Must never be reachable from the network, nor fail unless the operator's own environment asks for it.
//!
//! Of our own and not the crate `fail`: that one brings older copies of three crates, and what a test needs most, a
//! fault that comes and goes while the server runs, is here a file that is there or not. The file has a line
//! `POINT=ACTION` for each fault; the actions are the errors in `ERRORS`, `panic`, `abort`, which ends the process as a
//! crash would, and `stall`, which keeps the thread for as long as the file says so. With `once ` before the action the
//! line goes when it has acted.

/// Every failpoint there is. `tests/tidy.rs` checks that the code has these and no others.
pub const POINTS: [&str; 34] = [
    "blob.create",
    "blob.write",
    "blob.sync",
    "blob.folder",
    "blob.rename",
    "blob.folder_sync",
    "blob.open",
    "blob.remove",
    "artifact.create",
    "artifact.write",
    "artifact.sync",
    "artifact.rename",
    "artifact.folder_sync",
    "artifact.open",
    "artifact.read",
    "artifact.map",
    "artifact.remove",
    "token.write",
    "token.sync",
    "token.rename",
    "token.folder_sync",
    "catalog.thread",
    "catalog.open",
    "catalog.read",
    "catalog.begin",
    "catalog.commit",
    "deploy.committed",
    "compile.spawn",
    "optimise.spawn",
    "optimise.kept",
    "locate.spawn",
    "thread.spawn",
    "ingress.accept",
    "admin.accept",
];

/// Failpoints inside a call of a guest, where there is no error to return: only `panic`, `abort` and `stall` do anything.
pub const HOST_POINTS: [&str; 4] = ["host.print", "host.send", "host.field", "host.drop"];

pub use points::{arm, at, pass};

#[cfg(any(debug_assertions, feature = "failpoints"))]
mod points {
    use std::io;
    use std::path::PathBuf;
    use std::sync::OnceLock;
    use std::time::Duration;

    use rustix::io::Errno;

    /// The file that says what fails.
    static FILE: OnceLock<PathBuf> = OnceLock::new();

    const ERRORS: [(&str, Errno); 7] = [
        ("ENOSPC", Errno::NOSPC),
        ("EIO", Errno::IO),
        ("EACCES", Errno::ACCESS),
        ("EBUSY", Errno::BUSY),
        ("EMFILE", Errno::MFILE),
        ("EAGAIN", Errno::AGAIN),
        ("ENOMEM", Errno::NOMEM),
    ];

    /// Has this file decide from now on. Only the first call of a process counts.
    pub fn arm(file: Option<PathBuf>) {
        if let Some(file) = file {
            tracing::warn!(file = %file.display(), "failpoints are armed: this server fails when the file says so");
            drop(FILE.set(file));
        }
    }

    /// The error that this place is to fail with, if any.
    ///
    /// # Errors
    /// What the file says.
    ///
    /// # Panics
    /// If the file says so.
    pub fn at(point: &'static str) -> io::Result<()> {
        match action(point).as_deref() {
            None => Ok(()),
            Some("panic") => panic!("failpoint {point}"),
            Some("abort") => std::process::abort(),
            Some("stall") => {
                stall(point);
                Ok(())
            }
            Some(name) => {
                let known = ERRORS.iter().find(|(known, _)| *known == name);
                Err(known.map_or_else(|| io::Error::other("no such fault"), |(_, errno)| (*errno).into()))
            }
        }
    }

    /// As [`at`], where nothing can be returned.
    ///
    /// # Panics
    /// If the file says so.
    pub fn pass(point: &'static str) {
        drop(at(point));
    }

    /// Comes back when the file says nothing of it any more; after a minute in any case.
    fn stall(point: &str) {
        for _ in 0..6_000 {
            std::thread::sleep(Duration::from_millis(10));
            if action(point).is_none() {
                return;
            }
        }
    }

    /// Read each time: what it says holds from one moment to the next, and only tests pay for it.
    fn action(point: &str) -> Option<String> {
        let file = FILE.get()?;
        let text = std::fs::read_to_string(file).ok()?;
        let of_point = |line: &&str| line.strip_prefix(point).is_some_and(|rest| rest.starts_with('='));
        let line = text.lines().find(of_point)?;
        let action = line.get(point.len() + 1..)?;
        let Some(once) = action.strip_prefix("once ") else { return Some(action.to_owned()) };
        drop(std::fs::write(file, text.replacen(line, "", 1)));
        Some(once.to_owned())
    }
}

#[cfg(not(any(debug_assertions, feature = "failpoints")))]
mod points {
    use std::io;
    use std::path::PathBuf;

    /// Nothing can be armed in this build.
    #[inline]
    pub fn arm(_file: Option<PathBuf>) {}

    /// Never fails in this build.
    ///
    /// # Errors
    /// None.
    #[inline]
    pub fn at(_point: &'static str) -> io::Result<()> {
        Ok(())
    }

    /// Does nothing in this build.
    #[inline]
    pub fn pass(_point: &'static str) {}
}
