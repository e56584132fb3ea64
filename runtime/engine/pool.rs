//! One thread's instances: ready ones, reusable ones, and the bin of those that are done.
//! Must never be shared between threads, nor drop a store while an answer waits to be flushed.

mod janitor;
mod prepare;
mod used;

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::Notify;

use super::instance::{Call, Instance, Remains};
use super::lanes::{Gone, Group, HEAVY_NS, HeavyLane};
use super::party::Parties;
use super::program::{Program, ProgramId};
use super::room::{Room, Rooms, Share};
use super::sizing::Sizing;
use super::ticker::Pulse;
use crate::host::account::Budget;
use crate::host::meter::now_ns;
use crate::model::length::SHORT_NS;
use used::{AllUsed, Used};

/// Bytes that an instance may have grown to and still be dropped on the thread that answers calls, whatever it did. What
/// is above goes back to the kernel page by page, if it was touched; a short call has no time to touch much.
const LARGE: u64 = 4 << 20;

/// The instances of one thread.
pub struct Shelf {
    pulse: Pulse,
    heavy: HeavyLane,
    /// Room of instances that are to end in the heavy lane, each until it is gone there.
    away: RefCell<Vec<(Room, Arc<Gone>)>>,
    bounds: Bounds,
    pools: RefCell<HashMap<ProgramId, Pool>>,
    used: AllUsed,
    bin: RefCell<Vec<Waste>>,
    /// Room for instances, and who waits for it.
    rooms: Rc<Rooms>,
    /// Calls so far; the janitor reads it to see whether the thread is idle.
    calls: Cell<u64>,
    /// Programs that have fewer ready instances than they should.
    wanted: RefCell<VecDeque<ProgramId>>,
    work: Arc<Notify>,
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
    share: Rc<Share>,
    ready: Vec<(Box<Instance>, Room)>,
    reusable: Vec<(Box<Instance>, Room)>,
    /// Those it shares with others of its tenant that run the same.
    used: Rc<RefCell<Used>>,
    sizing: Sizing,
    queued: bool,
}

/// What is thrown away, and its room with it: a whole call, or what a call left behind.
#[expect(dead_code, reason = "held to be dropped")]
enum Waste {
    Remains(Remains, Room),
    Instance(Box<Instance>, Room),
}

impl Pool {
    /// All instances that no call has, and that one of its could have.
    fn emptied(&mut self) -> impl Iterator<Item = Waste> {
        let used = std::mem::take(self.used.borrow_mut().all());
        self.own().chain(used.into_iter().map(Waste::of))
    }

    /// Those of a pool that goes, and what it shared, unless others do: they do not notice.
    fn left(&mut self) -> impl Iterator<Item = Waste> {
        let last = Rc::strong_count(&self.used) == 1;
        let used = if last { std::mem::take(self.used.borrow_mut().all()) } else { Vec::new() };
        self.own().chain(used.into_iter().map(Waste::of))
    }

    fn own(&mut self) -> impl Iterator<Item = Waste> {
        self.ready.drain(..).chain(self.reusable.drain(..)).map(Waste::of)
    }
}

impl Waste {
    fn of((instance, room): (Box<Instance>, Room)) -> Self {
        Self::Instance(instance, room)
    }
}

/// What a call is to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Whatever there is.
    Any,
    /// An instance as new: none that is reused.
    AsNew,
    /// One that is made for it: its program was not there before.
    Cold,
}

impl Taken {
    /// See [`Room::is_hogged`].
    #[must_use]
    pub fn is_hogged(&self, now_ns: u64) -> bool {
        let (Self::Reused(_, room) | Self::Ready(_, room) | Self::Used(_, room) | Self::Nothing(room)) = self;
        room.is_hogged(now_ns)
    }
}

/// What was found for a call, and the room that goes with it.
pub enum Taken {
    /// Answered before, and may answer again.
    Reused(Box<Instance>, Room),
    /// As new, made ahead.
    Ready(Box<Instance>, Room),
    /// Answered before, and is put back as part of the call.
    Used(Box<Instance>, Room),
    /// None there: spawn one as part of the call.
    Nothing(Room),
}

fn now_ms() -> u64 {
    now_ns() / 1_000_000
}

impl Shelf {
    /// An empty shelf.
    #[must_use]
    pub fn new(pulse: Pulse, heavy: HeavyLane, (bounds, budget): (Bounds, Arc<Budget>)) -> Rc<Self> {
        Rc::new(Self {
            pulse,
            heavy,
            away: RefCell::default(),
            bounds,
            pools: RefCell::default(),
            used: AllUsed::default(),
            bin: RefCell::default(),
            rooms: Rooms::new(bounds.live, budget),
            calls: Cell::new(0),
            wanted: RefCell::default(),
            work: Arc::default(),
        })
    }

    /// The thread's right to run guests.
    #[must_use]
    pub fn pulse(&self) -> &Pulse {
        &self.pulse
    }

    /// Has the heavy lane go on with a call. What is returned is told when its instance has ended there, unseen.
    pub fn give_away(&self, call: &mut Call, group: Group) -> Arc<Gone> {
        let gone = Gone::new(&self.work);
        call.give_away(&self.heavy, group, &gone);
        gone
    }

    /// Who uses how much of this thread.
    pub fn parties(&self) -> &Rc<Parties> {
        self.rooms.parties()
    }

    /// Whether calls hold half of what there may be.
    pub fn is_crowded(&self) -> bool {
        self.rooms.is_crowded()
    }

    /// Instances that exist on this thread's account.
    pub fn live(&self) -> u32 {
        self.rooms.live()
    }

    /// Takes an instance for a call, or the room to spawn one. `None` when its tenant, or the thread, holds all it may.
    pub fn take(&self, program: &Arc<Program>, cpu_ms: u64, wish: Wish) -> Option<Taken> {
        self.calls.set(self.calls.get().wrapping_add(1));
        let mut pools = self.pools.borrow_mut();
        let pool = pools.entry(program.id).or_insert_with(|| {
            let share = self.rooms.share(&program.grant.account);
            Pool {
                program: program.clone(),
                cpu_ms,
                used: self.used.of(program, &share),
                share,
                ready: Vec::new(),
                reusable: Vec::new(),
                sizing: Sizing::new(self.bounds.ready_per_program),
                queued: false,
            }
        });
        if !Arc::ptr_eq(&pool.program, program) {
            // Dropped and loaded again: what is made ahead comes from the new one.
            self.bin.borrow_mut().extend(pool.left());
            self.work.notify_one();
            pool.program = program.clone();
            pool.used = self.used.of(program, &pool.share);
        }
        if !self.rooms.may(&pool.share) {
            let share = pool.share.clone();
            drop(pools);
            return self.squeeze(&share).then(|| Taken::Nothing(self.rooms.room(&share)));
        }
        if let Some((instance, mut room)) = pool.reusable.pop_if(|_| wish == Wish::Any) {
            room.engage();
            return Some(Taken::Reused(instance, room));
        }
        // The newest one: its memory is the warmest.
        let ready = pool.ready.pop_if(|_| wish != Wish::Cold);
        let now = now_ms();
        pool.sizing.called(ready.is_some(), now);
        let mut used = pool.used.borrow_mut();
        used.called(now);
        if !pool.queued {
            pool.queued = true;
            self.wanted.borrow_mut().push_back(program.id);
        }
        if let Some((instance, mut room)) = ready {
            room.engage();
            return Some(Taken::Ready(instance, room));
        }
        if wish != Wish::Cold
            && let Some((instance, mut room)) = used.pop(program)
        {
            room.engage();
            return Some(Taken::Used(instance, room));
        }
        drop(used);
        if !self.rooms.is_full() {
            return Some(Taken::Nothing(self.rooms.room(&pool.share)));
        }
        let share = pool.share.clone();
        drop(pools);
        self.squeeze(&share).then(|| Taken::Nothing(self.rooms.room(&share)))
    }

    /// As [`Shelf::take`], for a call that found nothing: waits a little.
    pub async fn wait(&self, program: &Arc<Program>) -> Option<Taken> {
        let share = self.rooms.share(&program.grant.account);
        self.rooms.wait(&share, program.id).await
    }

    /// Makes room for one more call, at the expense of waste and of instances that nobody uses. Returns whether there is.
    fn squeeze(&self, share: &Share) -> bool {
        let fits = || !self.rooms.is_full() && self.rooms.may(share);
        self.empty_bin();
        if !fits() && (self.rooms.is_full() || self.rooms.is_short()) {
            self.shed(|_| true);
        } else if !fits() && !share.has_memory() {
            self.shed(|owner| std::ptr::eq(owner, share));
        }
        fits()
    }

    /// Gives up half of what nobody uses of each program of these tenants.
    fn shed(&self, whose: impl Fn(&Share) -> bool) {
        let mut waste = Vec::new();
        // The oldest: their memory is the coldest.
        let mut half = |idle: &mut Vec<_>| waste.extend(idle.drain(..idle.len().div_ceil(2)));
        for pool in self.pools.borrow_mut().values_mut().filter(|pool| whose(&pool.share)) {
            half(&mut pool.ready);
            half(&mut pool.reusable);
        }
        self.used.each(|used| {
            if whose(used.share()) {
                half(used.all());
            }
        });
        self.bin.borrow_mut().extend(waste.into_iter().map(Waste::of));
        self.empty_bin();
    }

    /// A call started this program well, so it may be started ahead again.
    pub fn started(&self, program: ProgramId) {
        if let Some(pool) = self.pools.borrow_mut().get_mut(&program) {
            pool.sizing.spawned(true);
        }
    }

    /// An instance that ended cleanly and may answer again.
    pub fn put_back(&self, program: ProgramId, (instance, mut room): (Box<Instance>, Room), group: Group) {
        if self.rooms.is_awaited() {
            // Whoever waits for something else gets at least its room.
            if let Err((instance, room)) = self.rooms.pass_on(program, instance, room) {
                self.discard(instance, room, group);
            }
            return;
        }
        match self.pools.borrow_mut().get_mut(&program) {
            Some(pool) => {
                room.rest();
                pool.reusable.push((instance, room));
            }
            // Its version was dropped while it answered.
            None => self.discard(instance, room, group),
        }
    }

    /// An instance that ended cleanly and answers no more as it is: kept to be put back, if it can be.
    pub fn retire(&self, program: ProgramId, (mut instance, mut room): (Box<Instance>, Room), group: Group) {
        // Its room counts as taken until it is dropped: as for one that is made ahead, there has to be some left.
        if self.rooms.may_ahead()
            && let Some(pool) = self.pools.borrow().get(&program)
            && let mut used = pool.used.borrow_mut()
            && used.wants(&instance)
            && instance.retire()
        {
            room.rest();
            used.push(instance, room);
            self.work.notify_one();
            return;
        }
        self.discard(instance, room, group);
    }

    /// An instance that is done. Dropped later, off the request's path; in the heavy lane if its call was heavy and it grew
    /// large, because giving its memory back may take longer than a call that others wait for, or if it was long and its tenant
    /// uses more than its part.
    pub fn discard(&self, instance: Box<Instance>, room: Room, group: Group) {
        let (grew, used_ns) = (instance.meter().memory_peak(), instance.meter().cpu_ns());
        if grew > LARGE && used_ns > HEAVY_NS || used_ns > SHORT_NS && room.is_hogged(now_ns()) {
            let gone = Gone::new(&self.work);
            self.heavy.throw_away(group, instance, gone.clone());
            self.away.borrow_mut().push((room, gone));
            return;
        }
        self.bin.borrow_mut().push(Waste::Instance(instance, room));
        self.work.notify_one();
    }

    /// A call that is not to be finished. Dropped later, off the request's path.
    pub fn abandon(&self, call: Call, room: Room, gone: Option<Arc<Gone>>) {
        match (call.abandon(), gone) {
            (Some(remains), _) => {
                self.bin.borrow_mut().push(Waste::Remains(remains, room));
                self.work.notify_one();
            }
            (None, Some(gone)) => self.away.borrow_mut().push((room, gone)),
            (None, None) => drop(room),
        }
    }

    /// Lets the next ones have the room of instances that have ended in the heavy lane.
    fn clear_away(&self) {
        let ended: Vec<_> = self.away.borrow_mut().extract_if(.., |(_, gone)| gone.is()).collect();
        drop(ended);
    }

    /// Drops what is in the bin, and the room of what has ended elsewhere. A panic of a destructor costs that store only.
    fn empty_bin(&self) {
        self.clear_away();
        let waste = std::mem::take(&mut *self.bin.borrow_mut());
        self.throw_away(waste);
    }

    fn throw_away(&self, waste: impl IntoIterator<Item = Waste>) {
        self.pulse.begin(None);
        for item in waste {
            let _ = catch_unwind(AssertUnwindSafe(|| drop(item)));
        }
        self.pulse.end();
    }

    /// Forgets a program: its ready and reusable instances go into the bin, running calls end as they will.
    pub fn forget(&self, program: ProgramId) {
        if let Some(mut pool) = self.pools.borrow_mut().remove(&program) {
            self.bin.borrow_mut().extend(pool.left());
        }
        self.empty_bin();
    }

    /// Empties a program's pool as [`Shelf::forget`] does, but remembers how often it is called.
    pub fn clear(&self, program: ProgramId) {
        if let Some(pool) = self.pools.borrow_mut().get_mut(&program) {
            pool.sizing.emptied();
            self.bin.borrow_mut().extend(pool.emptied());
        }
        self.empty_bin();
    }
}
