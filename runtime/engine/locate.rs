//! Asks a short-lived child of the same binary which lines of source some instructions of an upload came from: debug
//! information is as hostile as the rest. Must never parse any of it in this process, nor run two such children at once.

mod child;
mod lines;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::sync::Semaphore;

pub use child::{SUBCOMMAND, child_main};

use super::compile::{ChildLimits, command, start};
use crate::faults;
use crate::model::limits::ServerLimits;
use crate::model::place::{PLACES, Place};
use crate::tasks::Rank;

/// Starts children that read debug information, one at a time.
#[derive(Clone, Debug)]
pub struct Locator {
    exe: PathBuf,
    limits: ChildLimits,
    wall: Duration,
    turn: Arc<Semaphore>,
}

/// What a child found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Located {
    /// For each instruction its places, innermost first; none where nothing is known.
    Places(Vec<Vec<Place>>),
    /// The debug information cannot be read, or not within the limits: asking again is of no use.
    Hopeless,
}

/// Instructions that one child is asked about.
pub const ASKED: usize = 1_024;
/// CPU time of a child: debug information of tens of megabytes is read in less than one second.
const CPU_SECONDS: u64 = 5;
/// From its start to its answer, on a machine that is busy with something else.
const WALL: Duration = Duration::from_secs(10);
/// Bytes of the longest answer, and far more than that of a child that keeps to its bounds.
const ANSWER: u64 = 4 << 20;

impl Locator {
    /// One whose children have as much memory as those that compile.
    #[must_use]
    pub fn new(limits: &ServerLimits) -> Self {
        Self {
            exe: PathBuf::from("/proc/self/exe"),
            limits: ChildLimits {
                memory_bytes: limits.compile_memory_bytes,
                cpu_seconds: CPU_SECONDS,
                nice: Rank::TakesLong.nice(),
                idle: false,
                parent: std::process::id(),
            },
            wall: WALL,
            turn: Arc::new(Semaphore::new(1)),
        }
    }

    /// Waits until no child runs. Whoever holds what is returned may start one.
    ///
    /// # Errors
    /// When the wait is longer than a child may take.
    pub async fn turn(&self) -> io::Result<tokio::sync::OwnedSemaphorePermit> {
        let turn = tokio::time::timeout(self.wall, self.turn.clone().acquire_owned());
        turn.await.map_err(io::Error::other)?.map_err(io::Error::other)
    }

    /// Where the instructions at these places of an upload come from; at most [`ASKED`]. Dropping the future kills the
    /// child.
    ///
    /// # Errors
    /// The machine's: no process, no pipe, or so busy that the child was not done in time.
    pub async fn locate(&self, wasm: File, offsets: &[u64]) -> io::Result<Located> {
        faults::at("locate.spawn")?;
        let mut command = command(&self.exe, &self.arguments(offsets), Stdio::from(wasm));
        command.stderr(Stdio::null());
        let mut child = tokio::time::timeout(self.wall, start(command)).await.map_err(io::Error::other)??;
        let stdout = child.stdout.take();
        let heard = async {
            let mut text = Vec::new();
            if let Some(pipe) = stdout {
                // A child that says more finds nobody.
                pipe.take(ANSWER).read_to_end(&mut text).await?;
            }
            Ok::<_, io::Error>((text, child.wait().await?))
        };
        let (text, status) = tokio::time::timeout(self.wall, heard).await.map_err(io::Error::other)??;
        let places = serde_json::from_slice::<Vec<Vec<Place>>>(&text).ok();
        let fits = |places: &Vec<Vec<Place>>| {
            places.len() == offsets.len() && places.iter().all(|each| each.len() <= PLACES)
        };
        Ok(places
            .filter(|places| status.success() && fits(places))
            .map_or(Located::Hopeless, Located::Places))
    }

    fn arguments(&self, offsets: &[u64]) -> Vec<OsString> {
        let mut all = String::new();
        for (n, offset) in offsets.iter().enumerate() {
            // Writing to a string does not fail.
            let _ = write!(all, "{}{offset}", if n == 0 { "" } else { "," });
        }
        let mut arguments = self.limits.arguments_of(SUBCOMMAND);
        arguments.extend(["--at".into(), all.into()]);
        arguments
    }
}
