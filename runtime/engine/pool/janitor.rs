//! What a thread does for its instances when no call needs it: throws away, makes ahead, gives up what nobody uses.
//! Must never run while an answer waits to be flushed.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::{Instance, Program, ProgramId, Room, Shelf, Waste, now_ms, now_ns};
use crate::engine::instance::{reset_ahead, spawn_ahead};
use crate::engine::program::SpawnError;

/// Stores in the bin above which dropping them no longer waits for the thread to be idle, and those above which some are dropped
/// however long that takes.
const BIN: usize = 16;
const FULL: usize = 64;

/// How long the thread goes on dropping before it looks for what came in, in nanoseconds.
const SWEEP_NS: u64 = 40_000;

/// How long making an instance ahead of a call may take.
const AHEAD: Duration = Duration::from_secs(2);

/// What is made ahead.
enum Ahead {
    New(Room),
    Again(Box<Instance>, Room),
}

impl Shelf {
    /// The thread's janitor: empties the bin after answers were flushed, and makes instances ahead while the
    /// thread has nothing better to do. A piece of it at a time, when whatever is ready to run on the thread has run, the flush of
    /// the answer included; where others take turns, in one of its own, which `turn` waits for. Never returns.
    pub async fn janitor<T>(self: Rc<Self>, turn: impl AsyncFn() -> Option<T>) {
        loop {
            self.work.notified().await;
            loop {
                self.clear_away();
                let before = self.calls.get();
                let turn = if self.bin.borrow().is_empty() {
                    tokio::task::yield_now().await;
                    None
                } else {
                    turn().await
                };
                let idle = self.calls.get() == before;
                if self.rooms.is_awaited() {
                    self.empty_bin();
                } else if idle || turn.is_some() || self.bin.borrow().len() >= BIN {
                    self.sweep();
                }
                drop(turn);
                if self.rooms.is_short() {
                    self.shed(|_| true);
                }
                let done = self.bin.borrow().is_empty();
                if done && idle && !self.refill_one().await {
                    break;
                }
            }
        }
    }

    /// Drops of the bin what can be dropped in a moment.
    fn sweep(&self) {
        let began_ns = now_ns();
        loop {
            let mut bin = self.bin.borrow_mut();
            let few = bin.len() < FULL;
            let Some(item) = bin.pop() else { break };
            drop(bin);
            self.throw_away(std::iter::once(item));
            if few && now_ns().saturating_sub(began_ns) > SWEEP_NS {
                break;
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
