//! The data directory: made with mode 0700, and locked so that one process at a time holds it.
//! Must never know what is kept inside: who needs a file asks for the path and names it itself.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// How long the lock is waited for, and how often it is tried. A server that has just ended, however it did, may have been
/// starting a child: between its fork and its first instruction that one holds what its parent held, on a busy machine for
/// longer than it takes to start the next server.
const PATIENCE: Duration = Duration::from_secs(2);
const AGAIN: Duration = Duration::from_millis(20);

/// The locked data directory; whoever holds one of these knows that no other process writes there.
/// The lock ends with the last clone, and with the process however it ends.
#[derive(Clone, Debug)]
pub struct DataDir(Arc<Held>);

#[derive(Debug)]
struct Held {
    path: PathBuf,
    // Held for its lock alone. Rust opens with O_CLOEXEC, so a child process lets go of it when it begins to run.
    _lock: File,
}

/// Why the data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process, or another part of this one, holds it.
    #[error("data directory `{path}` is in use by another process")]
    DataDirInUse {
        /// The directory.
        path: PathBuf,
    },
    /// It cannot be made or locked.
    #[error(transparent)]
    File(#[from] FileError),
}

/// What the operating system refused, and where.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} `{path}`")]
pub struct FileError {
    /// A verb: `open`, `write`, `rename`.
    pub action: &'static str,
    /// The file or folder.
    pub path: PathBuf,
    /// The operating system's reason.
    #[source]
    pub source: io::Error,
}

impl DataDir {
    /// Makes the directory if it is missing and takes its lock. Blocks, for two seconds if somebody else has it; called once,
    /// at start.
    ///
    /// # Errors
    /// [`DataDirError::DataDirInUse`] if another process holds it for longer.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        make_folder(path)?;
        // Absolute, so that a later change of the working directory changes nothing.
        let path = path.canonicalize().map_err(FileError::of("find", path))?;
        let file = path.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&file)
            .map_err(FileError::of("open", &file))?;
        let until = Instant::now() + PATIENCE;
        loop {
            match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self(Arc::new(Held { path, _lock: lock }))),
                Err(Errno::WOULDBLOCK) if Instant::now() < until => std::thread::sleep(AGAIN),
                Err(Errno::WOULDBLOCK) => return Err(DataDirError::DataDirInUse { path }),
                Err(errno) => return Err(FileError::of("lock", &file)(errno.into()).into()),
            }
        }
    }

    /// The absolute path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }
}

impl FileError {
    /// For `map_err`: names the action and the path.
    pub(super) fn of(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self { action, path: path.to_path_buf(), source }
    }

    /// Whether the disk, or the quota on it, is full.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        matches!(self.source.kind(), StorageFull | QuotaExceeded)
    }
}

/// Makes a folder, and those above it, that only this user may enter.
pub(super) fn make_folder(path: &Path) -> Result<(), FileError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(FileError::of("make folder", path))
}

/// Makes a new name in a folder durable: the name is the folder's data, not the file's.
pub(super) fn sync_folder(path: &Path) -> Result<(), FileError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(FileError::of("sync folder", path))
}
