//! The schema and every statement, over one connection: blocking, called by one thread.
//! Must never know about queues, threads or async.

use std::fs::{OpenOptions, Permissions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior, params};

use super::dir::{FileError, sync_folder};
use super::{Change, Commit, CommitError, Entry, KEPT_COMMITS, Revision, StorageError};
use crate::faults;

/// One open database.
pub(super) struct Database {
    pub(super) connection: Connection,
    revision: Revision,
}

/// Goes up with each change of the schema that an older program could not read.
const SCHEMA: u32 = 1;

/// `change` is the log behind `changes`; `counter` holds the last revision and where the log begins. The keys are
/// TEXT compared by bytes, so an operator can read them and their order is the order of Rust's strings.
const CREATE: &str = "
    CREATE TABLE entry (key TEXT PRIMARY KEY, value BLOB NOT NULL, revision INTEGER NOT NULL)
        STRICT, WITHOUT ROWID;
    CREATE TABLE change (revision INTEGER, key TEXT, deleted INTEGER NOT NULL, PRIMARY KEY (revision, key))
        STRICT, WITHOUT ROWID;
    CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    INSERT INTO counter VALUES ('revision', 0), ('changes_after', 0);
    PRAGMA user_version = 1;
";

const SCAN_FROM: &str =
    "SELECT key, value, revision FROM entry WHERE key >= ?1 AND key < ?2 ORDER BY key LIMIT ?3";
const SCAN_AFTER: &str =
    "SELECT key, value, revision FROM entry WHERE key > ?1 AND key < ?2 ORDER BY key LIMIT ?3";

impl Database {
    /// Opens the file, or makes it with mode 0600.
    pub(super) fn open(path: &Path) -> Result<Self, StorageError> {
        make_file(path)?;
        fault("catalog.open")?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags)?;
        // Nobody else should write, but an operator may look with the sqlite3 shell.
        // Everything else that asks the catalog waits meanwhile.
        connection.busy_timeout(Duration::from_secs(2))?;
        let found = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if found > SCHEMA {
            return Err(StorageError::NewerSchema { path: path.to_path_buf(), found, known: SCHEMA });
        }
        connection.pragma_update(None, "journal_mode", "wal")?;
        // FULL: each commit syncs the log before it is answered. NORMAL would lose answered commits with the power.
        connection.pragma_update(None, "synchronous", "full")?;
        connection.pragma_update(None, "trusted_schema", false)?;
        // After a large burst the log is cut back to this when it is reset, not kept at its longest for ever.
        connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
        if found == 0 {
            let create = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            create.execute_batch(CREATE)?;
            create.commit()?;
        }
        let revision = counter(&connection, "revision")?;
        Ok(Self { connection, revision })
    }

    /// The last commit.
    pub(super) fn revision(&self) -> Revision {
        self.revision
    }

    /// The value of one key.
    pub(super) fn get(&self, key: &str) -> Result<Option<(Vec<u8>, Revision)>, StorageError> {
        fault("catalog.read")?;
        let found = self
            .connection
            .prepare_cached("SELECT value, revision FROM entry WHERE key = ?1")?
            .query_row([key], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        Ok(found)
    }

    /// Entries with a prefix, after a key, in order.
    pub(super) fn scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Entry>, StorageError> {
        fault("catalog.read")?;
        // One lower bound only: SQLite would seek by one of two and step over what the other excludes.
        let (sql, from) = match after {
            Some(after) if after >= prefix => (SCAN_AFTER, after),
            Some(_) | None => (SCAN_FROM, prefix),
        };
        let mut select = self.connection.prepare_cached(sql)?;
        let rows = select.query_map(params![from, prefix_end(prefix), sql_limit(limit)], |row| {
            Ok(Entry { key: row.get(0)?, value: row.get(1)?, revision: row.get(2)? })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Whether there are more keys with a prefix than so many.
    pub(super) fn more_than(&self, prefix: &str, most: usize) -> Result<bool, StorageError> {
        Ok(more_than(&self.connection, prefix, most)?)
    }

    /// Changes after a revision, to the end of the commit in which `limit` is reached.
    pub(super) fn changes(&self, since: Revision, limit: usize) -> Result<Vec<Change>, StorageError> {
        let oldest = counter(&self.connection, "changes_after")?;
        if since < oldest {
            return Err(StorageError::ChangesGone { since, oldest });
        }
        let mut select = self.connection.prepare_cached(
            "SELECT revision, key, deleted FROM change WHERE revision > ?1 ORDER BY revision, key",
        )?;
        let mut rows = select.query([since])?;
        let mut changes: Vec<Change> = Vec::new();
        while let Some(row) = rows.next()? {
            let revision = row.get(0)?;
            if changes.len() >= limit && changes.last().is_some_and(|last| last.revision != revision) {
                break;
            }
            changes.push(Change { revision, key: row.get(1)?, deleted: row.get(2)? });
        }
        Ok(changes)
    }

    /// All commits in order with one fsync; a refused one does not touch the others. If the batch as a whole
    /// fails, then each is tried on its own, so that only those fail that cannot be written.
    pub(super) fn commit_all(&mut self, commits: &[Commit]) -> Vec<Result<Revision, CommitError>> {
        match self.commit_batch(commits) {
            Ok(results) => results,
            // Whoever holds the lock holds it for all: waiting once more for each would take minutes.
            Err(error) if error.is_locked() => {
                commits.iter().map(|_| Err(StorageError::Locked.into())).collect()
            }
            Err(error) if commits.len() == 1 => vec![Err(error.into())],
            Err(_) => {
                commits.iter().flat_map(|commit| self.commit_all(std::slice::from_ref(commit))).collect()
            }
        }
    }

    fn commit_batch(
        &mut self,
        commits: &[Commit],
    ) -> Result<Vec<Result<Revision, CommitError>>, StorageError> {
        fault("catalog.begin")?;
        // Dropping the transaction, as every `?` here does, rolls it back.
        let mut transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let before = counter(&transaction, "revision")?;
        let mut revision = before;
        let mut results = Vec::with_capacity(commits.len());
        for commit in commits {
            let savepoint = transaction.savepoint()?;
            match apply(&savepoint, commit, revision) {
                Ok(next) => {
                    savepoint.commit()?;
                    revision = next;
                    results.push(Ok(next));
                }
                // SQLite may have rolled back the whole batch on such an error, so none of it can be kept.
                Err(CommitError::Storage(error)) => return Err(error),
                Err(refused) => results.push(Err(refused)),
            }
        }
        if revision > before {
            set_counter(&transaction, "revision", revision)?;
            trim_changes(&transaction, revision)?;
        }
        fault("catalog.commit")?;
        transaction.commit()?;
        self.revision = revision;
        Ok(results)
    }
}

fn apply(connection: &Connection, commit: &Commit, current: Revision) -> Result<Revision, CommitError> {
    let database = |error: rusqlite::Error| CommitError::Storage(error.into());
    for (key, expected) in &commit.expect {
        if revision_of(connection, key).map_err(database)? != *expected {
            return Err(CommitError::Conflict { key: key.clone() });
        }
    }
    if commit.puts.is_empty() && commit.deletes.is_empty() {
        return Ok(current);
    }
    let next = Revision(current.0 + 1);
    write(connection, commit, next).map_err(database)?;
    for (prefix, most) in &commit.at_most {
        if more_than(connection, prefix, *most).map_err(database)? {
            let (prefix, most) = (prefix.clone(), *most);
            return Err(CommitError::TooMany { prefix, most });
        }
    }
    Ok(next)
}

fn write(connection: &Connection, commit: &Commit, next: Revision) -> rusqlite::Result<()> {
    // The last word on a key is the one that the log keeps.
    let mut log = connection.prepare_cached("INSERT OR REPLACE INTO change VALUES (?1, ?2, ?3)")?;
    let mut delete = connection.prepare_cached("DELETE FROM entry WHERE key = ?1")?;
    for key in &commit.deletes {
        if delete.execute([key])? > 0 {
            log.execute(params![next, key, true])?;
        }
    }
    let mut put = connection.prepare_cached(
        "INSERT INTO entry VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET value = excluded.value, revision = excluded.revision",
    )?;
    for (key, value) in &commit.puts {
        put.execute(params![key, value, next])?;
        log.execute(params![next, key, false])?;
    }
    Ok(())
}

fn revision_of(connection: &Connection, key: &str) -> rusqlite::Result<Option<Revision>> {
    connection
        .prepare_cached("SELECT revision FROM entry WHERE key = ?1")?
        .query_row([key], |row| row.get(0))
        .optional()
}

fn more_than(connection: &Connection, prefix: &str, most: usize) -> rusqlite::Result<bool> {
    let most = sql_limit(most);
    connection
        .prepare_cached(
            "SELECT count(*) > ?3 FROM
             (SELECT 1 FROM entry WHERE key >= ?1 AND key < ?2 LIMIT ?3 + 1)",
        )?
        .query_row(params![prefix, prefix_end(prefix), most], |row| row.get(0))
}

fn trim_changes(connection: &Connection, current: Revision) -> rusqlite::Result<()> {
    let oldest = Revision(current.0.saturating_sub(KEPT_COMMITS));
    if oldest > counter(connection, "changes_after")? {
        connection.prepare_cached("DELETE FROM change WHERE revision <= ?1")?.execute([oldest])?;
        set_counter(connection, "changes_after", oldest)?;
    }
    Ok(())
}

fn counter(connection: &Connection, name: &str) -> rusqlite::Result<Revision> {
    connection
        .prepare_cached("SELECT value FROM counter WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
}

fn set_counter(connection: &Connection, name: &str, value: Revision) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE counter SET value = ?2 WHERE name = ?1")?
        .execute(params![name, value])
        .map(drop)
}

/// The first value after all strings that begin with `prefix`. UTF-8 sorts by bytes as its characters do, so that
/// is the prefix with its last character that can be raised, raised by one. Should there be no such string, it is an
/// empty blob, which `SQLite` sorts after every text.
fn prefix_end(prefix: &str) -> Value {
    let mut end = prefix.to_owned();
    while let Some(last) = end.pop() {
        // A range of characters steps over the surrogates, which are none.
        if let Some(next) = (last..=char::MAX).nth(1) {
            end.push(next);
            return Value::Text(end);
        }
    }
    Value::Blob(Vec::new())
}

fn sql_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX - 1)
}

impl ToSql for Revision {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let number =
            i64::try_from(self.0).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        Ok(number.into())
    }
}

impl FromSql for Revision {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let number = i64::column_result(value)?;
        let number = number.try_into().map_err(|_| FromSqlError::OutOfRange(number))?;
        Ok(Self(number))
    }
}

/// A failpoint, in the words of `SQLite`.
fn fault(point: &'static str) -> rusqlite::Result<()> {
    use rusqlite::ffi::{Error, SQLITE_BUSY, SQLITE_FULL, SQLITE_IOERR};
    use std::io::ErrorKind::{ResourceBusy, StorageFull};
    let code = |error: std::io::Error| match error.kind() {
        StorageFull => SQLITE_FULL,
        ResourceBusy => SQLITE_BUSY,
        _ => SQLITE_IOERR,
    };
    faults::at(point).map_err(|error| rusqlite::Error::SqliteFailure(Error::new(code(error)), None))
}

fn make_file(path: &Path) -> Result<(), FileError> {
    // Made here because SQLite would give it the mode that the umask leaves; its log and index take after it.
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
        .and_then(|file| file.set_permissions(Permissions::from_mode(0o600)))
        .map_err(FileError::of("make", path))?;
    path.parent().map_or(Ok(()), sync_folder)
}
