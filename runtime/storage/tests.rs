//! Commits, scans and the files of the store. Must never leave a directory behind.

mod blobs;
mod random;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use sha2::Digest as _;

use super::statements::Database;
use super::*;
use crate::model::version::Digest;

type Model = BTreeMap<String, (Vec<u8>, Revision)>;

fn put(key: &str, value: &str) -> Commit {
    Commit { puts: vec![(key.into(), value.into())], ..Commit::default() }
}

fn expecting(mut commit: Commit, key: &str, revision: Option<u64>) -> Commit {
    commit.expect.push((key.into(), revision.map(Revision)));
    commit
}

fn data_dir() -> (tempfile::TempDir, DataDir) {
    let temp = tempfile::tempdir().unwrap();
    let dir = DataDir::open(&temp.path().join("data")).unwrap();
    (temp, dir)
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

#[tokio::test]
async fn a_commit_is_read_back_after_a_reopen() {
    let (_temp, dir) = data_dir();
    let storage = Storage::open(&dir, "catalog").await.unwrap();
    assert_eq!(storage.get("a").await.unwrap(), None);
    assert_eq!(storage.commit(put("a", "")).await.unwrap(), Revision(1));
    drop(storage);
    let storage = Storage::open(&dir, "catalog").await.unwrap();
    assert_eq!(storage.get("a").await.unwrap(), Some((vec![], Revision(1))));
    assert_eq!(storage.revision(), Revision(1));
    assert_eq!(storage.commit(put("a", "2")).await.unwrap(), Revision(2));
    let many = storage.get_many(vec!["b".into(), "a".into()]).await.unwrap();
    assert_eq!(many, [None, Some((b"2".to_vec(), Revision(2)))]);
}

#[tokio::test]
async fn a_commit_whose_expectation_fails_writes_nothing() {
    let (_temp, dir) = data_dir();
    let storage = Storage::open(&dir, "catalog").await.unwrap();
    storage.commit(put("a", "1")).await.unwrap();
    for (key, revision) in [("a", None), ("a", Some(2)), ("b", Some(1))] {
        let commit = expecting(put("c", "1"), key, revision);
        let error = storage.commit(commit).await.unwrap_err();
        assert!(matches!(&error, CommitError::Conflict { key: k } if k == key), "{error}");
    }
    assert_eq!(storage.get("c").await.unwrap(), None);
    assert_eq!(storage.revision(), Revision(1));
    let commit = expecting(expecting(put("c", "1"), "b", None), "a", Some(1));
    assert_eq!(storage.commit(commit).await.unwrap(), Revision(2));
}

#[tokio::test]
async fn a_quota_counts_what_would_be_there_afterwards() {
    let (_temp, dir) = data_dir();
    let storage = Storage::open(&dir, "catalog").await.unwrap();
    let bounded = |key: &str| Commit { at_most: vec![("f/".into(), 2)], ..put(key, "") };
    storage.commit(put("f", "not under the prefix")).await.unwrap();
    storage.commit(bounded("f/a")).await.unwrap();
    storage.commit(bounded("f/b")).await.unwrap();
    storage.commit(bounded("f/b")).await.unwrap();
    let error = storage.commit(bounded("f/c")).await.unwrap_err();
    assert!(matches!(error, CommitError::TooMany { most: 2, .. }), "{error}");
    assert_eq!(storage.get("f/c").await.unwrap(), None);
    let mut swap = bounded("f/c");
    swap.deletes.push("f/a".into());
    storage.commit(swap).await.unwrap();
}

#[tokio::test]
async fn concurrent_commits_to_one_key_have_one_winner() {
    let (_temp, dir) = data_dir();
    let storage = Storage::open(&dir, "catalog").await.unwrap();
    let commits = (0..50).map(|_| storage.commit(expecting(put("a", "1"), "a", None)));
    let results = futures_util::future::join_all(commits).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    assert_eq!(storage.revision(), Revision(1));
}

#[tokio::test]
async fn changes_are_given_in_whole_commits() {
    let (_temp, dir) = data_dir();
    let storage = Storage::open(&dir, "catalog").await.unwrap();
    let mut watch = storage.watch();
    let mut both = put("b", "1");
    both.puts.push(("a".into(), vec![]));
    storage.commit(both).await.unwrap();
    let delete = Commit { deletes: vec!["a".into(), "never-there".into()], ..Commit::default() };
    storage.commit(delete).await.unwrap();
    watch.changed().await.unwrap();
    assert_eq!(*watch.borrow(), Revision(2));
    let change =
        |revision, key: &str, deleted| Change { revision: Revision(revision), key: key.into(), deleted };
    let first = storage.changes(Revision(0), 1).await.unwrap();
    assert_eq!(first, [change(1, "a", false), change(1, "b", false)]);
    let second = storage.changes(Revision(1), 1).await.unwrap();
    assert_eq!(second, [change(2, "a", true)]);
    assert_eq!(storage.changes(Revision(2), 10).await.unwrap(), []);
}

#[tokio::test]
async fn changes_that_are_no_longer_kept_are_refused_and_not_left_out() {
    let (_temp, dir) = data_dir();
    let storage = Storage::open(&dir, "catalog").await.unwrap();
    storage.commit(put("a", "1")).await.unwrap();
    drop(storage);
    let connection = rusqlite::Connection::open(dir.path().join("catalog.db")).unwrap();
    let sql = format!("UPDATE counter SET value = {KEPT_COMMITS} + 5 WHERE name = 'revision'");
    connection.execute(&sql, []).unwrap();
    drop(connection);
    let storage = Storage::open(&dir, "catalog").await.unwrap();
    storage.commit(put("a", "2")).await.unwrap();
    let error = storage.changes(Revision(5), 10).await.unwrap_err();
    assert_eq!(error.to_string(), "changes after revision 5 are gone: kept are those after 6");
    assert_eq!(storage.changes(Revision(6), 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_scan_takes_a_prefix_literally_and_in_order() {
    let (_temp, dir) = data_dir();
    let storage = Storage::open(&dir, "catalog").await.unwrap();
    for key in ["a/2", "a/1", "a", "a0", "a/\u{10ffff}", "b/1", "a%1", "\u{10ffff}x"] {
        storage.commit(put(key, key)).await.unwrap();
    }
    let keys = async |prefix: &str, after: Option<&str>, limit| {
        let entries = storage.scan(prefix, after, limit).await.unwrap();
        entries.into_iter().map(|entry| entry.key).collect::<Vec<_>>()
    };
    assert_eq!(keys("a/", None, 9).await, ["a/1", "a/2", "a/\u{10ffff}"]);
    assert_eq!(keys("a/", Some("a/1"), 1).await, ["a/2"]);
    assert_eq!(keys("a/", Some("0"), 1).await, ["a/1"]);
    assert_eq!(keys("a/", Some("b"), 9).await, [""; 0]);
    assert_eq!(keys("\u{10ffff}", None, 9).await, ["\u{10ffff}x"]);
    assert_eq!(keys("", None, 99).await.len(), 8);
}

#[tokio::test]
async fn what_is_too_large_is_refused_before_it_is_queued() {
    let (_temp, dir) = data_dir();
    let storage = Storage::open(&dir, "catalog").await.unwrap();
    let long = "k".repeat(KEY_BYTES + 1);
    let error = storage.commit(put(&long, "")).await.unwrap_err();
    assert!(matches!(error, CommitError::Storage(StorageError::TooLarge { what: "key", .. })));
    let wide = Commit { deletes: vec![String::new(); COMMIT_KEYS + 1], ..Commit::default() };
    assert!(storage.commit(wide).await.is_err());
}

#[test]
fn a_refused_commit_does_not_touch_its_batch() {
    let temp = tempfile::tempdir().unwrap();
    let mut database = Database::open(&temp.path().join("a.db")).unwrap();
    let batch = [put("a", "1"), expecting(put("b", "1"), "a", None), expecting(put("c", "1"), "a", Some(1))];
    let results = database.commit_all(&batch);
    assert_eq!(*results[0].as_ref().unwrap(), Revision(1));
    assert!(matches!(results[1], Err(CommitError::Conflict { .. })));
    assert_eq!(*results[2].as_ref().unwrap(), Revision(2));
    assert!(database.get("b").unwrap().is_none());
    assert!(database.get("c").unwrap().is_some());
}

#[test]
fn a_full_disk_fails_the_commit_that_needs_room_and_no_other() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("a.db");
    let mut database = Database::open(&path).unwrap();
    let pages: i64 = database.connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    database.connection.pragma_update(None, "max_page_count", pages + 2).unwrap();
    let large = "x".repeat(100_000);
    for _ in 0..3 {
        let results = database.commit_all(&[put("a", "1"), put("b", &large), put("c", "1")]);
        assert!(results[0].is_ok() && results[2].is_ok(), "{results:?}");
        let Err(CommitError::Storage(error)) = &results[1] else { panic!("{results:?}") };
        assert!(error.is_disk_full(), "{error:?}");
    }
    assert_eq!(database.revision(), Revision(6));
    drop(database);
    let database = Database::open(&path).unwrap();
    assert_eq!(database.revision(), Revision(6));
    assert!(database.get("b").unwrap().is_none());
}

#[test]
fn an_answered_commit_was_synced() {
    let temp = tempfile::tempdir().unwrap();
    let database = Database::open(&temp.path().join("a.db")).unwrap();
    let pragma = |name| {
        let read = |row: &rusqlite::Row<'_>| row.get::<_, rusqlite::types::Value>(0);
        database.connection.pragma_query_value(None, name, read).unwrap()
    };
    assert_eq!(pragma("synchronous"), 2.into());
    assert_eq!(pragma("journal_mode"), String::from("wal").into());
    assert_eq!(pragma("journal_size_limit"), (64 << 20).into());
}

#[tokio::test]
async fn a_second_opener_is_refused_until_the_first_is_gone() {
    let (temp, dir) = data_dir();
    let storage = Storage::open(&dir, "catalog").await.unwrap();
    let path = temp.path().join("data");
    drop(dir);
    let error = DataDir::open(&path).unwrap_err();
    assert!(matches!(error, DataDirError::DataDirInUse { .. }), "{error}");
    assert!(error.to_string().ends_with("is in use by another process"));
    drop(storage);
    DataDir::open(&path).unwrap();
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_alone() {
    let (_temp, dir) = data_dir();
    drop(Storage::open(&dir, "catalog").await.unwrap());
    let path = dir.path().join("catalog.db");
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 7).unwrap();
    drop(connection);
    let error = Storage::open(&dir, "catalog").await.unwrap_err();
    assert!(matches!(error, StorageError::NewerSchema { found: 7, .. }), "{error}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_an_error() {
    let (_temp, dir) = data_dir();
    std::fs::write(dir.path().join("catalog.db"), "hello".repeat(1000)).unwrap();
    let error = Storage::open(&dir, "catalog").await.unwrap_err();
    assert!(matches!(error, StorageError::Database(_)), "{error}");
}

#[tokio::test]
async fn nobody_else_may_read_the_files() {
    let (_temp, dir) = data_dir();
    let storage = Storage::open(&dir, "catalog").await.unwrap();
    storage.commit(put("a", "1")).await.unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for file in ["lock", "catalog.db", "catalog.db-wal", "catalog.db-shm"] {
        assert_eq!(mode(&dir.path().join(file)), 0o600, "{file}");
    }
    assert_eq!(mode(dir.path()), 0o700);
}

/// Run by the test below in a process of its own: commits without end, and prints each number once it is durable.
#[test]
#[ignore = "started by a_killed_process_loses_no_answered_commit, never ends"]
fn commit_until_killed() {
    let dir = DataDir::open(Path::new("data")).unwrap();
    block_on(async {
        let storage = Storage::open(&dir, "catalog").await.unwrap();
        for number in 1_u64.. {
            let mut commit = put("last", &number.to_string());
            commit.puts.push((format!("n/{number:09}"), vec![0; 2000]));
            storage.commit(commit).await.unwrap();
            println!("\ndurable {number}");
        }
    });
}

#[tokio::test]
async fn a_killed_process_loses_no_answered_commit() {
    let temp = tempfile::tempdir().unwrap();
    for round in 1..=3_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--ignored", "--nocapture", "storage::tests::commit_until_killed"])
            .current_dir(temp.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let durable =
            |line: std::io::Result<String>| line.unwrap().strip_prefix("durable ")?.parse::<u64>().ok();
        let reached = lines.by_ref().filter_map(durable).find(|number| *number >= 10 * round);
        child.kill().unwrap();
        let answered = lines.filter_map(durable).last().or(reached).unwrap();
        child.wait().unwrap();
        let dir = DataDir::open(&temp.path().join("data")).unwrap();
        let storage = Storage::open(&dir, "catalog").await.unwrap();
        let (last, _) = storage.get("last").await.unwrap().unwrap();
        let last: u64 = String::from_utf8(last).unwrap().parse().unwrap();
        assert!((answered..=answered + 1).contains(&last), "{answered} {last}");
        assert!(storage.get(&format!("n/{last:09}")).await.unwrap().is_some());
    }
}
