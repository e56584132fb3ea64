//! One thread's instances: ready ones, reusable ones, and the bin of those that are done.
//! Must never be shared between threads, nor drop a store while an answer waits to be flushed.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::Notify;

use super::instance::{Call, Instance, Remains, spawn_ahead};
use super::lanes::{Group, HeavyLane};
use super::program::{Program, ProgramId, SpawnError};
use super::sizing::Sizing;
use super::ticker::Pulse;
use crate::host::meter::now_ns;

/// Stores in the bin above which dropping them no longer waits for the thread to be idle.
const BIN: usize = 16;

/// How long making an instance ahead of a call may take.
const AHEAD: Duration = Duration::from_secs(2);

/// The instances of one thread.
pub struct Shelf {
    pulse: Pulse,
    heavy: HeavyLane,
    /// Instances of this thread that ended in the heavy lane; written there, taken off `live` here.
    gone: Arc<AtomicU32>,
    bounds: Bounds,
    pools: RefCell<HashMap<ProgramId, Pool>>,
    bin: RefCell<Vec<Waste>>,
    /// Instances that exist on this thread, wherever they are.
    live: Cell<u32>,
    /// Calls so far; the janitor reads it to see whether the thread is idle.
    calls: Cell<u64>,
    /// Programs that have fewer ready instances than they should.
    wanted: RefCell<VecDeque<ProgramId>>,
    work: Notify,
}

/// What one thread may hold.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Instances that may exist at once.
    pub live: u32,
    /// Ready instances of one program.
    pub ready_per_program: u32,
}

struct Pool {
    program: Arc<Program>,
    cpu_ms: u64,
    #[expect(clippy::vec_box, reason = "moved in and out of calls, which hold it boxed")]
    ready: Vec<Box<Instance>>,
    #[expect(clippy::vec_box, reason = "moved in and out of calls, which hold it boxed")]
    reusable: Vec<Box<Instance>>,
    sizing: Sizing,
    queued: bool,
}

/// What is thrown away: a whole call, or what a call left behind.
enum Waste {
    Remains(#[expect(dead_code, reason = "held to be dropped")] Remains),
    Instance(#[expect(dead_code, reason = "held to be dropped")] Box<Instance>),
}

/// What was found for a call.
pub enum Taken {
    /// Answered before, and may answer again.
    Reused(Box<Instance>),
    /// Fresh, made ahead.
    Ready(Box<Instance>),
    /// None there: spawn one as part of the call.
    Nothing,
}

fn now_ms() -> u64 {
    now_ns() / 1_000_000
}

impl Shelf {
    /// An empty shelf.
    #[must_use]
    pub fn new(pulse: Pulse, heavy: HeavyLane, bounds: Bounds) -> Rc<Self> {
        Rc::new(Self {
            pulse,
            heavy,
            gone: Arc::default(),
            bounds,
            pools: RefCell::default(),
            bin: RefCell::default(),
            live: Cell::new(0),
            calls: Cell::new(0),
            wanted: RefCell::default(),
            work: Notify::new(),
        })
    }

    /// The thread's right to run guests.
    #[must_use]
    pub fn pulse(&self) -> &Pulse {
        &self.pulse
    }

    /// Has the heavy lane go on with a call.
    pub fn give_away(&self, call: &mut Call, group: Group) {
        call.give_away(&self.heavy, group, &self.gone);
    }

    /// Instances that exist on this thread's account.
    pub fn live(&self) -> u32 {
        if self.gone.load(Relaxed) > 0 {
            let gone = self.gone.swap(0, Relaxed);
            self.live.set(self.live.get().saturating_sub(gone));
        }
        self.live.get()
    }

    /// Takes an instance for a call, or the room to spawn one. `None` when the thread holds all it may.
    pub fn take(&self, program: &Arc<Program>, cpu_ms: u64) -> Option<Taken> {
        self.calls.set(self.calls.get().wrapping_add(1));
        let mut pools = self.pools.borrow_mut();
        let pool = pools.entry(program.id).or_insert_with(|| Pool {
            program: program.clone(),
            cpu_ms,
            ready: Vec::new(),
            reusable: Vec::new(),
            sizing: Sizing::new(self.bounds.ready_per_program, now_ms()),
            queued: false,
        });
        if !Arc::ptr_eq(&pool.program, program) {
            // Dropped and loaded again: what is made ahead comes from the new one.
            pool.program = program.clone();
        }
        if let Some(instance) = pool.reusable.pop() {
            return Some(Taken::Reused(instance));
        }
        // The newest one: its memory is the warmest.
        let ready = pool.ready.pop();
        pool.sizing.called(ready.is_some(), now_ms());
        if !pool.queued {
            pool.queued = true;
            self.wanted.borrow_mut().push_back(program.id);
        }
        drop(pools);
        match ready {
            Some(instance) => Some(Taken::Ready(instance)),
            None => self.room().then_some(Taken::Nothing),
        }
    }

    /// Makes room for one more instance, at the expense of waste and of other programs' ready instances.
    fn room(&self) -> bool {
        if self.live() >= self.bounds.live {
            self.empty_bin();
        }
        if self.live() >= self.bounds.live {
            self.shed();
        }
        let room = self.live() < self.bounds.live;
        if room {
            self.live.set(self.live.get() + 1);
        }
        room
    }

    fn shed(&self) {
        let mut pools = self.pools.borrow_mut();
        let mut bin = self.bin.borrow_mut();
        for pool in pools.values_mut() {
            bin.extend(pool.ready.drain(..).map(Waste::Instance));
            bin.extend(pool.reusable.drain(..).map(Waste::Instance));
        }
        drop((pools, bin));
        self.empty_bin();
    }

    /// A call started this program well, so it may be started ahead again.
    pub fn started(&self, program: ProgramId) {
        if let Some(pool) = self.pools.borrow_mut().get_mut(&program) {
            pool.sizing.spawned(true);
        }
    }

    /// An instance that ended cleanly and may answer again.
    pub fn put_back(&self, program: ProgramId, instance: Box<Instance>) {
        match self.pools.borrow_mut().get_mut(&program) {
            Some(pool) => pool.reusable.push(instance),
            // Its version was dropped while it answered.
            None => self.discard(instance),
        }
    }

    /// An instance that is done. Dropped later, off the request's path.
    pub fn discard(&self, instance: Box<Instance>) {
        self.bin.borrow_mut().push(Waste::Instance(instance));
        self.work.notify_one();
    }

    /// A call that is not to be finished. Dropped later, off the request's path.
    pub fn abandon(&self, call: Call) {
        if let Some(remains) = call.abandon() {
            self.bin.borrow_mut().push(Waste::Remains(remains));
            self.work.notify_one();
        }
    }

    /// The room of a call whose instance never came to be, or is gone already.
    pub fn release(&self) {
        self.live.set(self.live.get().saturating_sub(1));
    }

    /// Drops what is in the bin. A panic of a destructor costs that store only.
    fn empty_bin(&self) {
        let waste = std::mem::take(&mut *self.bin.borrow_mut());
        self.pulse.begin(None);
        for item in waste {
            let _ = catch_unwind(AssertUnwindSafe(|| drop(item)));
            self.release();
        }
        self.pulse.end();
    }

    /// Forgets a program: its ready and reusable instances go into the bin, running calls end as they will.
    pub fn forget(&self, program: ProgramId) {
        if let Some(pool) = self.pools.borrow_mut().remove(&program) {
            let all = pool.ready.into_iter().chain(pool.reusable);
            self.bin.borrow_mut().extend(all.map(Waste::Instance));
        }
        self.empty_bin();
    }

    /// The thread's janitor: empties the bin after answers were flushed, and makes instances ahead while the
    /// thread has nothing better to do. Never returns.
    pub async fn janitor(self: Rc<Self>) {
        loop {
            self.work.notified().await;
            loop {
                let before = self.calls.get();
                // Whatever is ready to run on this thread runs first, the flush of the answer included.
                tokio::task::yield_now().await;
                let idle = self.calls.get() == before;
                if idle || self.bin.borrow().len() >= BIN {
                    self.empty_bin();
                }
                if idle && !self.refill_one().await {
                    break;
                }
            }
        }
    }

    /// Makes one instance ahead. Returns whether there may be more to do.
    async fn refill_one(&self) -> bool {
        let Some((id, program, cpu_ms)) = self.next_wanted() else {
            return false;
        };
        self.live.set(self.live.get() + 1);
        let spawning = spawn_ahead(program, (cpu_ms, Arc::default()), self.pulse.clone());
        // A guest whose start-up waits for something must not hold up the bin.
        let spawned = tokio::time::timeout(AHEAD, spawning).await.unwrap_or_else(|_| {
            Err(SpawnError::Guest(wasmtime::format_err!("start-up waited for too long")))
        });
        let mut pools = self.pools.borrow_mut();
        match (pools.get_mut(&id), spawned) {
            (Some(pool), Ok(instance)) => {
                pool.sizing.spawned(true);
                pool.ready.push(instance);
            }
            (None, Ok(instance)) => self.bin.borrow_mut().push(Waste::Instance(instance)),
            (pool, Err(error)) => {
                self.release();
                if let (Some(pool), SpawnError::Guest(_)) = (pool, error) {
                    pool.sizing.spawned(false);
                }
            }
        }
        true
    }

    /// The next program that lacks a ready instance, if a quarter of the room, and at least one place, is left for calls.
    fn next_wanted(&self) -> Option<(ProgramId, Arc<Program>, u64)> {
        let room = self.live() < self.bounds.live - (self.bounds.live / 4).max(1);
        let mut wanted = self.wanted.borrow_mut();
        let mut pools = self.pools.borrow_mut();
        while let Some(id) = wanted.front().copied() {
            if let Some(pool) = pools.get_mut(&id) {
                let lacks = (pool.ready.len() as u64) < u64::from(pool.sizing.target());
                if lacks && room && pool.reusable.is_empty() {
                    return Some((id, pool.program.clone(), pool.cpu_ms));
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
        let mut bin = self.bin.borrow_mut();
        self.pools.borrow_mut().retain(|_, pool| {
            let idle = pool.sizing.settle(now);
            let keep = pool.sizing.target() as usize;
            while pool.ready.len() > keep {
                bin.extend(pool.ready.pop().map(Waste::Instance));
            }
            if idle {
                bin.extend(pool.reusable.drain(..).map(Waste::Instance));
            }
            !idle || pool.queued
        });
        let some = !bin.is_empty();
        drop(bin);
        if some {
            self.work.notify_one();
        }
    }
}
