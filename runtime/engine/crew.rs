//! The control plane's way to the threads that hold instances: orders, each answered when every thread has obeyed.
//! Must never wait for ever on a thread that does not answer.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::program::{Program, ProgramId};

/// Orders waiting for one thread.
pub const QUEUE: usize = 64;
/// How long a thread may take to obey: a guest yields at each tick, so this is far more than it needs.
const PATIENCE: Duration = Duration::from_secs(5);

/// Some instances are made in a millisecond where a thread is idle, those of large guests in some tens.
const WARM_UP: Duration = Duration::from_millis(100);

/// What a thread is told.
pub enum Order {
    /// Throw away the ready instances of these programs.
    Forget {
        /// Which.
        programs: Vec<ProgramId>,
        /// Whether they will be called again as they were.
        stay: bool,
        /// Dropped or sent when it is done.
        done: oneshot::Sender<()>,
    },
    /// Make instances of these programs ready, as many as there are of those whose place they take.
    Prepare(Vec<(Arc<Program>, ProgramId)>),
    /// Ask each connection to end after what it is doing.
    Drain,
}

/// Every thread that holds instances.
#[derive(Clone)]
pub struct Crew(Vec<mpsc::Sender<Order>>);

impl Crew {
    /// These threads.
    #[must_use]
    pub fn new(threads: Vec<mpsc::Sender<Order>>) -> Self {
        Self(threads)
    }

    /// Has every thread throw away these programs and their ready instances; returns when all have.
    pub async fn forget(&self, programs: &[ProgramId]) {
        self.order(programs, false).await;
    }

    /// Has every thread throw away the ready instances of these programs; returns when all have.
    pub async fn clear(&self, programs: &[ProgramId]) {
        self.order(programs, true).await;
    }

    async fn order(&self, programs: &[ProgramId], stay: bool) {
        if programs.is_empty() {
            return;
        }
        let mut pending = Vec::with_capacity(self.0.len());
        for thread in &self.0 {
            let (done, obeyed) = oneshot::channel();
            let order = Order::Forget { programs: programs.to_vec(), stay, done };
            if thread.send_timeout(order, PATIENCE).await.is_ok() {
                pending.push(obeyed);
            }
        }
        for obeyed in pending {
            if tokio::time::timeout(PATIENCE, obeyed).await.is_err() {
                tracing::error!("a thread does not obey: its instances stay until they are used");
            }
        }
    }

    /// Has every thread make instances ready of programs that are about to take the place of others, and gives them a
    /// moment for that: what is not ready by then is made as part of a call, as ever.
    pub async fn prepare(&self, all: &[(Arc<Program>, ProgramId)]) {
        if all.is_empty() {
            return;
        }
        for thread in &self.0 {
            // A thread that is gone answers nobody.
            let _ = thread.send_timeout(Order::Prepare(all.to_vec()), PATIENCE).await;
        }
        tokio::time::sleep(WARM_UP).await;
    }

    /// Asks each connection of each thread to end after what it is doing.
    pub async fn drain(&self) {
        for thread in &self.0 {
            // A thread that is gone has nothing left to drain.
            let _ = thread.send_timeout(Order::Drain, PATIENCE).await;
        }
    }
}
