//! Keys, values and blobs, durable once answered. Keys are UTF-8 paths, values are bytes, one write is atomic.
//! Must never know what a value means. A second backend takes the place of `sqlite.rs` behind the same handle.

mod blobs;
mod dir;
mod sqlite;
mod statements;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

pub use blobs::{BlobError, BlobInfo, BlobWriter, Blobs, kept_at};
pub use dir::{DataDir, DataDirError, FileError};

/// One database of keys and values; a clone is another handle to the same one.
/// Dropping the last handle waits until the file is closed, which is at most the commits still queued.
#[derive(Clone, Debug)]
pub struct Storage(Arc<sqlite::Writer>);

/// The number of a commit, counted over the whole database: 1, 2, 3. Zero is before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Revision(pub u64);

/// A key with its value and the commit that wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The whole key.
    pub key: String,
    /// The bytes as they were put.
    pub value: Vec<u8>,
    /// The commit that put them.
    pub revision: Revision,
}

/// All that one atomic write checks and does. Every check sees the state before it, but for `at_most`.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// The revision each key must have; `None` means that it must be absent.
    pub expect: Vec<(String, Option<Revision>)>,
    /// Keys that go; one that is absent already is no error and no change.
    pub deletes: Vec<String>,
    /// Keys that get a value, after the deletes.
    pub puts: Vec<(String, Vec<u8>)>,
    /// How many keys with a prefix there may be afterwards: a quota that two writers cannot pass together.
    pub at_most: Vec<(String, usize)>,
}

/// That a commit put or deleted a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The commit.
    pub revision: Revision,
    /// The key.
    pub key: String,
    /// Whether the key is gone.
    pub deleted: bool,
}

/// Bytes of one key.
pub const KEY_BYTES: usize = 512;
/// Bytes of one value.
pub const VALUE_BYTES: usize = 1 << 20;
/// Keys that one commit may name in all.
pub const COMMIT_KEYS: usize = 4_096;
/// Entries that one scan or one `get_many` gives at most.
pub const SCAN_ENTRIES: usize = 1_000;
/// Commits whose changes are kept.
pub const KEPT_COMMITS: u64 = 100_000;

/// Why the database could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// A newer program wrote it.
    #[error(
        "database `{path}` has schema version {found}, newer than {known}, the newest this program knows"
    )]
    NewerSchema {
        /// The file.
        path: std::path::PathBuf,
        /// Its schema version.
        found: u32,
        /// The newest this program knows.
        known: u32,
    },
    /// The database engine failed: a broken file, a full disk, an I/O error.
    #[error("database error")]
    Database(#[from] rusqlite::Error),
    /// Another process holds the file's lock, and did not let go in time.
    #[error("the database is locked by another process")]
    Locked,
    /// A file beside the database.
    #[error(transparent)]
    File(#[from] FileError),
    /// More was asked for than one call may.
    #[error("a {what} of {size} is above the most that storage takes, {most}")]
    TooLarge {
        /// `key`, `value` or `commit`.
        what: &'static str,
        /// Its size, in bytes or keys.
        size: usize,
        /// The bound.
        most: usize,
    },
    /// The changes that were asked for are no longer kept: start again from a scan.
    #[error("changes after revision {} are gone: kept are those after {}", since.0, oldest.0)]
    ChangesGone {
        /// What was asked for.
        since: Revision,
        /// The lowest that can be asked for.
        oldest: Revision,
    },
    /// The writer thread is gone.
    #[error("the database is closed")]
    Closed,
}

/// Why a commit did nothing.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// A key was not at the expected revision.
    #[error("key `{key}` was changed by another commit")]
    Conflict {
        /// The first such key.
        key: String,
    },
    /// There would be too many keys.
    #[error("there would be more than {most} keys under `{prefix}`")]
    TooMany {
        /// The prefix they share.
        prefix: String,
        /// The bound.
        most: usize,
    },
    /// It could not be made durable. Nothing of it is visible; should the machine die before the next commit, then
    /// a commit that failed while it was being synced may still turn up whole, as with any database.
    #[error("the commit failed")]
    Storage(#[from] StorageError),
}

impl Storage {
    /// Opens `DIR/NAME.db`, or makes it.
    ///
    /// # Errors
    /// [`StorageError::NewerSchema`], or what the file system says.
    pub async fn open(dir: &DataDir, name: &str) -> Result<Self, StorageError> {
        sqlite::Writer::start(dir.clone(), name).await.map(|writer| Self(Arc::new(writer)))
    }

    /// The value of a key.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn get(&self, key: &str) -> Result<Option<(Vec<u8>, Revision)>, StorageError> {
        let key = key.to_owned();
        self.0.read(move |database| database.get(&key)).await
    }

    /// The values of at most [`SCAN_ENTRIES`] keys as of one moment, in the order asked.
    ///
    /// # Errors
    /// The database cannot be read, or too many keys.
    pub async fn get_many(
        &self,
        keys: Vec<String>,
    ) -> Result<Vec<Option<(Vec<u8>, Revision)>>, StorageError> {
        check_size("read", keys.len(), SCAN_ENTRIES)?;
        self.0.read(move |database| keys.iter().map(|key| database.get(key)).collect()).await
    }

    /// The entries whose keys begin with `prefix` and come after `after`, in key order (by bytes):
    /// at most `limit` of them, and never more than [`SCAN_ENTRIES`]. None at all means the end.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Entry>, StorageError> {
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        let limit = limit.clamp(1, SCAN_ENTRIES);
        self.0.read(move |database| database.scan(&prefix, after.as_deref(), limit)).await
    }

    /// Whether there are more keys with this prefix than so many: what a commit with `at_most` would be refused for.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn more_than(&self, prefix: &str, most: usize) -> Result<bool, StorageError> {
        let prefix = prefix.to_owned();
        self.0.read(move |database| database.more_than(&prefix, most)).await
    }

    /// The only write: all of it, durable when this returns, or none of it. A commit that writes nothing only
    /// checks, and gives the current revision. A caller that stops waiting does not undo what was queued.
    ///
    /// # Errors
    /// [`CommitError::Conflict`] if a key was not as expected: read again and retry.
    pub async fn commit(&self, commit: Commit) -> Result<Revision, CommitError> {
        commit.check_sizes()?;
        self.0.commit(commit).await
    }

    /// What changed after `since`, oldest first: whole commits, so going on from the last one's revision misses
    /// nothing. At most `limit` changes and the rest of the last commit. Of a key that a later commit changed
    /// again both changes are given.
    ///
    /// # Errors
    /// [`StorageError::ChangesGone`] if `since` is too long ago.
    pub async fn changes(&self, since: Revision, limit: usize) -> Result<Vec<Change>, StorageError> {
        let limit = limit.clamp(1, SCAN_ENTRIES);
        self.0.read(move |database| database.changes(since, limit)).await
    }

    /// The last durable commit.
    #[must_use]
    pub fn revision(&self) -> Revision {
        *self.0.revision().borrow()
    }

    /// Wakes after commits; what they changed is in [`Storage::changes`].
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Revision> {
        self.0.revision()
    }
}

impl Commit {
    fn check_sizes(&self) -> Result<(), StorageError> {
        let keys = self.expect.len() + self.deletes.len() + self.puts.len() + self.at_most.len();
        check_size("commit", keys, COMMIT_KEYS)?;
        for (key, value) in &self.puts {
            check_size("key", key.len(), KEY_BYTES)?;
            check_size("value", value.len(), VALUE_BYTES)?;
        }
        Ok(())
    }
}

impl StorageError {
    /// Whether the disk is full, so that an operator can be told so.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        match self {
            Self::Database(error) => error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull),
            Self::File(error) => error.is_disk_full(),
            Self::NewerSchema { .. }
            | Self::Locked
            | Self::TooLarge { .. }
            | Self::ChangesGone { .. }
            | Self::Closed => false,
        }
    }

    /// Whether another process holds the lock, so that trying again later may do.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked};
        match self {
            Self::Locked => true,
            Self::Database(error) => {
                matches!(error.sqlite_error_code(), Some(DatabaseBusy | DatabaseLocked))
            }
            Self::NewerSchema { .. }
            | Self::File(_)
            | Self::TooLarge { .. }
            | Self::ChangesGone { .. }
            | Self::Closed => false,
        }
    }
}

fn check_size(what: &'static str, size: usize, most: usize) -> Result<(), StorageError> {
    if size > most {
        return Err(StorageError::TooLarge { what, size, most });
    }
    Ok(())
}
