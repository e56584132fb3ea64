//! The embedded backend: one thread that owns the connection, fed through a bounded queue. Commits that wait
//! together share one fsync, each of them still atomic on its own.
//! Must never spell SQL: that is `statements.rs`. This file starts the one thread of the host that `tasks.rs` does
//! not: the thread ends when the last handle is dropped, which waits for it, so there is nothing to drain.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot, watch};

use super::dir::{DataDir, FileError};
use super::statements::Database;
use super::{Commit, CommitError, Revision, StorageError};
use crate::{faults, tasks};

/// The handle to the thread.
pub(super) struct Writer {
    // An option only so that drop can close the queue before it joins the thread.
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    revision: watch::Receiver<Revision>,
}

enum Job {
    Read(Box<dyn FnOnce(&Database) + Send>),
    Commit(Commit, Reply),
}

type Reply = oneshot::Sender<Result<Revision, CommitError>>;

/// Jobs that wait before a caller has to.
const QUEUE: usize = 256;
/// Jobs taken at once: the most commits that share an fsync.
const BATCH: usize = 64;

impl Writer {
    /// Opens the database on a new thread.
    pub(super) async fn start(dir: DataDir, name: &str) -> Result<Self, StorageError> {
        let path = dir.path().join(format!("{name}.db"));
        let (jobs, queue) = mpsc::channel(QUEUE);
        let (opened, open) = oneshot::channel();
        let no_thread = |error| FileError::of("start a thread for", std::path::Path::new(name))(error);
        faults::at("catalog.thread").map_err(no_thread)?;
        let thread = std::thread::Builder::new()
            .name(format!("storage-{name}"))
            .spawn(move || {
                tasks::take(tasks::Rank::Administers);
                match Database::open(&path) {
                    Ok(database) => {
                        let (publish, revision) = watch::channel(database.revision());
                        if opened.send(Ok(revision)).is_ok() {
                            run(database, queue, &publish);
                        }
                    }
                    // Nobody waits for the answer if the caller gave up; then there is nobody to tell.
                    Err(error) => drop(opened.send(Err(error))),
                }
                // The lock outlives the connection, whatever the other handles to the directory do.
                drop(dir);
            })
            .map_err(no_thread)?;
        let revision = match open.await.unwrap_or(Err(StorageError::Closed)) {
            Ok(revision) => revision,
            Err(error) => {
                // It is past its last step; joined so that the caller's lock is the last one.
                drop(thread.join());
                return Err(error);
            }
        };
        Ok(Self { jobs: Some(jobs), thread: Some(thread), revision })
    }

    /// Runs `work` on the thread, between commits.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Read(Box::new(move |database| {
            // A caller that gave up needs no answer.
            drop(reply.send(work(database)));
        })))
        .await?;
        answer.await.map_err(|_| StorageError::Closed)?
    }

    /// Queues a commit and waits until it is durable or refused.
    pub(super) async fn commit(&self, commit: Commit) -> Result<Revision, CommitError> {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Commit(commit, reply)).await?;
        answer.await.map_err(|_| StorageError::Closed)?
    }

    /// The last durable commit.
    pub(super) fn revision(&self) -> watch::Receiver<Revision> {
        self.revision.clone()
    }

    async fn send(&self, job: Job) -> Result<(), StorageError> {
        let jobs = self.jobs.as_ref().ok_or(StorageError::Closed)?;
        jobs.send(job).await.map_err(|_| StorageError::Closed)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has no file open any more; there is nothing left to close.
            drop(thread.join());
        }
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("revision", &*self.revision.borrow()).finish_non_exhaustive()
    }
}

/// A panic costs those jobs only: without this thread nothing could be deployed until the next start.
fn survive<T>(work: impl FnOnce() -> T) -> Option<T> {
    let done = catch_unwind(AssertUnwindSafe(work));
    if done.is_err() {
        tracing::error!("the storage thread panicked and goes on");
    }
    done.ok()
}

fn run(mut database: Database, mut queue: mpsc::Receiver<Job>, publish: &watch::Sender<Revision>) {
    let mut jobs = Vec::with_capacity(BATCH);
    while queue.blocking_recv_many(&mut jobs, BATCH) > 0 {
        let (mut commits, mut replies) = (Vec::new(), Vec::new());
        for job in jobs.drain(..) {
            match job {
                // Reads go first: no commit of this batch has been answered yet, so none may be expected to show.
                Job::Read(work) => drop(survive(|| work(&database))),
                Job::Commit(commit, reply) => {
                    commits.push(commit);
                    replies.push(reply);
                }
            }
        }
        if commits.is_empty() {
            continue;
        }
        // What unwinds rolls back, and whoever waits is told that there will be no answer.
        let Some(results) = survive(|| database.commit_all(&commits)) else { continue };
        publish.send_if_modified(|seen| std::mem::replace(seen, database.revision()) != *seen);
        for (reply, result) in replies.into_iter().zip(results) {
            // A caller that gave up needs no answer.
            drop(reply.send(result));
        }
    }
}
