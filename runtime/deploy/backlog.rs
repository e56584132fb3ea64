//! What was compiled quickly and is to be compiled for speed: a bounded queue that knows what is hopeless.
//! Must never name one thing twice, nor grow with what is asked of it.

#[cfg(test)]
mod tests;

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::model::version::{Digest, Profile};

/// The queue, and a bell for whoever serves it.
#[derive(Debug, Default)]
pub struct Backlog {
    queue: Mutex<Queue>,
    bell: Notify,
}

/// One component to be compiled for speed, whichever functions are made of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Job {
    /// Of the bytes that were uploaded.
    pub digest: Digest,
    /// The engine it runs on.
    pub profile: Profile,
}

/// The bookkeeping.
#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Job>,
    hopeless: HashSet<Job>,
}

/// Jobs that wait. One too many is not taken: its component goes on as it is, until it is loaded again.
const WAITING: usize = 1_024;
/// Jobs that are known to be hopeless. At more, all are forgotten: each is then tried once more.
const HOPELESS: usize = 4_096;

impl Backlog {
    /// Takes a job, unless it waits already, is hopeless, or too many wait.
    pub fn add(&self, job: Job) {
        if self.queue().add(job) {
            metrics::gauge!("spawnpoint_optimisations_pending").increment(1);
            self.bell.notify_one();
        }
    }

    /// The job that has waited for longest, as soon as there is one. For one caller at a time.
    pub async fn next(&self) -> Job {
        loop {
            if let Some(job) = self.queue().waiting.pop_front() {
                return job;
            }
            self.bell.notified().await;
        }
    }

    /// Remembers that a job would end as it did, however often it is tried.
    pub fn give_up(&self, job: Job) {
        self.queue().give_up(job);
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn add(&mut self, job: Job) -> bool {
        let fits = self.waiting.len() < WAITING && !self.hopeless.contains(&job);
        let new = fits && !self.waiting.contains(&job);
        if new {
            self.waiting.push_back(job);
        }
        new
    }

    fn give_up(&mut self, job: Job) {
        if self.hopeless.len() >= HOPELESS {
            self.hopeless.clear();
        }
        self.hopeless.insert(job);
    }
}
