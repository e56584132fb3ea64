//! What a thread does for its instances when no call needs it: throws away, makes ahead, gives up what nobody uses.
//! Must never run while an answer waits to be flushed.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::{Instance, Program, ProgramId, Room, Shelf, Waste, now_ms};
use crate::engine::instance::{reset_ahead, spawn_ahead};
use crate::engine::program::SpawnError;

/// Stores in the bin above which dropping them no longer waits for the thread to be idle.
const BIN: usize = 16;

/// How long making an instance ahead of a call may take.
const AHEAD: Duration = Duration::from_secs(2);

/// What is made ahead.
enum Ahead {
    New(Room),
    Again(Box<Instance>, Room),
}

impl Shelf {
    /// The thread's janitor: empties the bin after answers were flushed, and makes instances ahead while the
    /// thread has nothing better to do. Never returns.
    pub async fn janitor(self: Rc<Self>) {
        loop {
            self.work.notified().await;
            self.clear_away();
            loop {
                let before = self.calls.get();
                // Whatever is ready to run on this thread runs first, the flush of the answer included.
                tokio::task::yield_now().await;
                let idle = self.calls.get() == before;
                if idle || self.bin.borrow().len() >= BIN || self.rooms.is_awaited() {
                    self.empty_bin();
                }
                if self.rooms.is_short() {
                    self.shed(|_| true);
                }
                if idle && !self.refill_one().await {
                    break;
                }
            }
        }
    }

    /// Makes one instance ahead, of one that has answered if there is any. Returns whether there may be more to do.
    async fn refill_one(&self) -> bool {
        let Some((id, program, cpu_ms, ahead)) = self.next_wanted() else {
            return false;
        };
        // A guest whose start-up waits for something must not hold up the bin.
        let (spawned, room) = match ahead {
            Ahead::New(room) => {
                let spawning = spawn_ahead(program, (cpu_ms, Arc::default())).here(&self.pulse);
                let spawned = match tokio::time::timeout(AHEAD, spawning).await {
                    Ok(spawned) => spawned.unwrap_or_else(|| Err(SpawnError::given_up("the host panicked"))),
                    Err(_) => Err(SpawnError::given_up("start-up waited for too long")),
                };
                (spawned, room)
            }
            Ahead::Again(instance, room) => {
                let reset = reset_ahead(id, instance, cpu_ms).here(&self.pulse).await;
                let Some(instance) = reset.flatten() else { return true };
                (Ok(instance), room)
            }
        };
        let mut pools = self.pools.borrow_mut();
        match (pools.get_mut(&id), spawned) {
            (Some(pool), Ok(instance)) => {
                pool.sizing.spawned(true);
                if (pool.ready.len() as u64) < u64::from(pool.sizing.target()) {
                    pool.ready.push((instance, room));
                } else {
                    // It was emptied meanwhile.
                    self.bin.borrow_mut().push(Waste::Instance(instance, room));
                }
            }
            (None, Ok(instance)) => self.bin.borrow_mut().push(Waste::Instance(instance, room)),
            (pool, Err(error)) => {
                drop(room);
                if let (Some(pool), SpawnError::Guest(_)) = (pool, error) {
                    pool.sizing.spawned(false);
                }
            }
        }
        true
    }

    /// The next program that lacks a ready instance, with what is to become one.
    fn next_wanted(&self) -> Option<(ProgramId, Arc<Program>, u64, Ahead)> {
        let mut wanted = self.wanted.borrow_mut();
        let mut pools = self.pools.borrow_mut();
        while let Some(id) = wanted.front().copied() {
            if let Some(pool) = pools.get_mut(&id) {
                let lacks = (pool.ready.len() as u64) < u64::from(pool.sizing.target());
                if lacks && pool.reusable.is_empty() {
                    let again = pool
                        .used
                        .borrow_mut()
                        .pop(&pool.program)
                        .map(|(instance, room)| Ahead::Again(instance, room));
                    let may = || self.rooms.may_ahead().then(|| Ahead::New(self.rooms.ahead(&pool.share)));
                    if let Some(ahead) = again.or_else(may) {
                        return Some((id, pool.program.clone(), pool.cpu_ms, ahead));
                    }
                }
                pool.queued = false;
            }
            wanted.pop_front();
        }
        None
    }

    /// Called about once a second: takes ready instances from programs that nobody calls.
    pub fn settle(&self) {
        let now = now_ms();
        if self.rooms.is_short() {
            self.shed(|_| true);
        }
        let mut bin = self.bin.borrow_mut();
        self.used.each(|used| {
            bin.extend(used.settle(now).map(Waste::of));
        });
        self.pools.borrow_mut().retain(|_, pool| {
            let idle = pool.sizing.settle(now);
            let keep = pool.sizing.target() as usize;
            while pool.ready.len() > keep {
                bin.extend(pool.ready.pop().map(Waste::of));
            }
            if idle {
                bin.extend(pool.reusable.drain(..).map(Waste::of));
            }
            let stays = !idle || pool.queued;
            if !stays {
                // What it was the last one to share goes with it, and not by the way.
                bin.extend(pool.left());
            }
            stays
        });
        self.rooms.settle();
        let some = !bin.is_empty();
        drop(bin);
        if some {
            self.work.notify_one();
        }
    }
}
