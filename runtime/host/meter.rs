//! What one invocation uses: CPU time measured around each poll of the guest, and memory as it grows.
//! Must never decide what happens to the guest beyond "refuse this growth" and "stop now".

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};
use wasmtime::ResourceLimiter;

use super::Grant;
use super::account::Account;
use super::notes::Notes;
use crate::model::frame::Frame;

/// The origin of all monotonic times in nanoseconds.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Nanoseconds since the process first asked.
#[must_use]
pub fn now_ns() -> u64 {
    u64::try_from(START.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// CPU time of the calling thread, in nanoseconds. A system call, so only asked of guests that ran for a tick.
fn thread_cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds * 1_000_000_000 + nanos
}

/// What a guest is charged at most for the time before its first tick, in nanoseconds.
const FIRST_TICK_NS: u64 = 2_000_000;

/// A guest that was polled so recently goes on through a tick, in nanoseconds.
const EARLY_NS: u64 = 500_000;

/// What a guest is to do at a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tick {
    /// It has only just begun.
    GoOn,
    /// Others are to run, too.
    Yield,
    /// Its budget is spent.
    Stop,
}

/// What one call used, copied off its meter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// CPU time charged, in nanoseconds.
    pub cpu_ns: u64,
    /// The most memory and tables held at once, in bytes.
    pub memory_peak: u64,
    /// When the handler was called, on the clock of [`now_ns`]; zero if it was not.
    pub spawned_at_ns: u64,
    /// The most bytes of memory and tables that were asked for and refused.
    pub asked_bytes: u64,
    /// The longest table that was asked for and refused.
    pub asked_elements: u64,
    /// The bytes of a request's body that was too long, up to where that was found out.
    pub request_body: u64,
}

/// CPU time and incidents of one store. Written by the thread that polls the guest, read by its epoch callback
/// on that same thread; atomic only because a store must be `Send`.
#[derive(Debug, Default)]
pub struct Meter {
    budget_ns: AtomicU64,
    spent_ns: AtomicU64,
    poll_wall_ns: AtomicU64,
    /// Thread CPU time at the start of this poll; zero while the guest has not yet run for a whole tick.
    poll_cpu_ns: AtomicU64,
    /// Whether the thread's own clock is asked for each poll.
    by_thread: AtomicBool,
    /// Ticks that came while the guest ran.
    ticks: AtomicU32,
    cpu_exceeded: AtomicBool,
    memory_refused: AtomicBool,
    memory_short: AtomicBool,
    request_body_exceeded: AtomicBool,
    /// Whether the client has not yet sent what the guest reads next.
    waits_for_body: AtomicBool,
    memory_peak: AtomicU64,
    /// The growths that were refused: the largest sum of bytes, and the longest table.
    asked_bytes: AtomicU64,
    asked_elements: AtomicU64,
    /// What the client's body had when it became too long.
    request_body_seen: AtomicU64,
    spawned_ns: AtomicU64,
    /// Made by the first line or backtrace: most stores have neither.
    notes: OnceLock<Box<Mutex<Notes>>>,
}

impl Meter {
    /// Starts the account of one invocation. Called before the first poll and again when an instance is leased.
    pub fn arm(&self, budget_ms: u64) {
        self.budget_ns.store(budget_ms.saturating_mul(1_000_000), Relaxed);
        self.spent_ns.store(0, Relaxed);
        self.spawned_ns.store(0, Relaxed);
        self.ticks.store(0, Relaxed);
        self.by_thread.store(false, Relaxed);
    }

    /// Has every poll from now on charged by the thread's own clock: on a thread that gives way to all others the clock on
    /// the wall says nothing.
    pub fn charge_by_thread(&self) {
        self.by_thread.store(true, Relaxed);
    }

    /// Forgets the incidents of a call that ended cleanly: the next one of the same instance is not to blame.
    pub fn forgive(&self) {
        self.memory_refused.store(false, Relaxed);
        self.memory_short.store(false, Relaxed);
        self.asked_bytes.store(0, Relaxed);
        self.asked_elements.store(0, Relaxed);
        self.request_body_exceeded.store(false, Relaxed);
        self.waits_for_body.store(false, Relaxed);
        drop(self.take_notes());
    }

    /// Marks the start of a poll.
    pub fn poll_begins(&self) {
        self.poll_wall_ns.store(now_ns(), Relaxed);
        // The first poll of a call is charged by the wall clock, which costs no system call; a call that came
        // back for more is charged by the thread's own clock, so that a busy machine is not held against it.
        let by_thread = self.ticks.load(Relaxed) > 0 || self.by_thread.load(Relaxed);
        let cpu = if by_thread { thread_cpu_ns() } else { 0 };
        self.poll_cpu_ns.store(cpu, Relaxed);
    }

    /// Marks the end of a poll and charges it.
    pub fn poll_ends(&self) {
        let used = self.used_in_poll();
        self.spent_ns.fetch_add(used, Relaxed);
    }

    fn used_in_poll(&self) -> u64 {
        match self.poll_cpu_ns.load(Relaxed) {
            0 => now_ns().saturating_sub(self.poll_wall_ns.load(Relaxed)),
            start => thread_cpu_ns().saturating_sub(start),
        }
    }

    /// Asked by the epoch callback at each tick: what the guest is to do. Remembers it if the budget is spent.
    pub fn tick(&self) -> Tick {
        let wall = now_ns().saturating_sub(self.poll_wall_ns.load(Relaxed));
        let (spent, budget) = (self.spent_ns.load(Relaxed), self.budget_ns.load(Relaxed));
        if wall < EARLY_NS && spent + wall <= budget {
            // Most of that tick passed while it waited.
            return Tick::GoOn;
        }
        if self.ticks.fetch_add(1, Relaxed) == 0 && self.poll_cpu_ns.load(Relaxed) == 0 {
            // The thread's own clock from here on: until now it was charged by the wall clock, and on a machine that is
            // busy with something else most of that was not the guest's. Two ticks at most were.
            self.poll_cpu_ns.store(thread_cpu_ns().saturating_sub(wall.min(FIRST_TICK_NS)).max(1), Relaxed);
        }
        if spent + self.used_in_poll() > budget {
            self.cpu_exceeded.store(true, Relaxed);
            return Tick::Stop;
        }
        Tick::Yield
    }

    /// Ticks that came while the guest ran, in this call.
    #[must_use]
    pub fn ticks(&self) -> u32 {
        self.ticks.load(Relaxed)
    }

    /// CPU time charged so far, in nanoseconds.
    #[must_use]
    pub fn cpu_ns(&self) -> u64 {
        self.spent_ns.load(Relaxed)
    }

    /// Whether the guest was stopped for its CPU time.
    #[must_use]
    pub fn cpu_exceeded(&self) -> bool {
        self.cpu_exceeded.load(Relaxed)
    }

    /// Whether a growth of memory or table was refused.
    #[must_use]
    pub fn memory_refused(&self) -> bool {
        self.memory_refused.load(Relaxed)
    }

    /// Whether a growth was refused because the server had no memory left.
    #[must_use]
    pub fn memory_short(&self) -> bool {
        self.memory_short.load(Relaxed)
    }

    /// The most memory and tables held at once, in bytes.
    #[must_use]
    pub fn memory_peak(&self) -> u64 {
        self.memory_peak.load(Relaxed)
    }

    /// Notes that the client sent more body than allowed: this much, so far.
    pub fn request_body_is_too_large(&self, bytes: u64) {
        self.request_body_seen.store(bytes, Relaxed);
        self.request_body_exceeded.store(true, Relaxed);
    }

    /// All of it that a record tells.
    #[must_use]
    pub fn used(&self) -> Used {
        Used {
            cpu_ns: self.cpu_ns(),
            memory_peak: self.memory_peak(),
            spawned_at_ns: self.spawned_at_ns(),
            asked_bytes: self.asked_bytes.load(Relaxed),
            asked_elements: self.asked_elements.load(Relaxed),
            request_body: self.request_body_seen.load(Relaxed),
        }
    }

    /// Notes whether the client has yet to send what the guest reads.
    pub fn body_is_awaited(&self, awaited: bool) {
        self.waits_for_body.store(awaited, Relaxed);
    }

    /// Whether the guest reads what the client has not sent.
    #[must_use]
    pub fn waits_for_body(&self) -> bool {
        self.waits_for_body.load(Relaxed)
    }

    /// Whether the client sent more body than allowed.
    #[must_use]
    pub fn request_body_exceeded(&self) -> bool {
        self.request_body_exceeded.load(Relaxed)
    }

    /// Keeps a line that the guest printed.
    pub fn says(&self, line: &[u8]) {
        self.note(|notes| notes.line(line));
    }

    /// Keeps where the guest was when it failed.
    pub fn failed_at(&self, backtrace: Vec<Frame>) {
        if !backtrace.is_empty() {
            self.note(|notes| notes.at(backtrace));
        }
    }

    /// What was noted of this call, which is forgotten.
    #[must_use]
    pub fn take_notes(&self) -> Notes {
        let notes = self.notes.get().map(|notes| notes.lock().unwrap_or_else(PoisonError::into_inner));
        notes.map(|mut notes| std::mem::take(&mut *notes)).unwrap_or_default()
    }

    fn note(&self, note: impl FnOnce(&mut Notes)) {
        let notes = self.notes.get_or_init(Box::default);
        note(&mut notes.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Notes that the instance exists and the guest's handler is about to be called.
    pub fn spawned(&self) {
        self.spawned_ns.store(now_ns(), Relaxed);
    }

    /// When [`Meter::spawned`] was called, on the clock of [`now_ns`]; zero if it was not.
    #[must_use]
    pub fn spawned_at_ns(&self) -> u64 {
        self.spawned_ns.load(Relaxed)
    }
}

/// Bytes one table element takes on the host.
const TABLE_ELEMENT_BYTES: usize = 8;

/// What an instance takes of its tenant's account at once: most growths of tables then cost nothing.
const PIECE: usize = 64 << 10;

/// All memories and tables of one store, summed: wasmtime's own limits are for each one alone. What it took of its
/// tenant's account is given back when it is dropped.
#[derive(Debug)]
pub struct MemoryAccount {
    used: usize,
    /// Taken of the tenant's account; never less than `used`.
    taken: usize,
    limit: usize,
    table_elements: usize,
    meter: Arc<Meter>,
    account: Arc<Account>,
}

impl Drop for MemoryAccount {
    fn drop(&mut self) {
        self.account.shrink(self.taken as u64);
    }
}

impl MemoryAccount {
    /// An empty account.
    #[must_use]
    pub fn new(grant: &Grant, meter: Arc<Meter>) -> Self {
        Self {
            used: 0,
            taken: 0,
            limit: usize::try_from(grant.memory_bytes).unwrap_or(usize::MAX),
            table_elements: usize::try_from(grant.table_elements).unwrap_or(usize::MAX),
            meter,
            account: grant.account.clone(),
        }
    }

    /// Goes on for another call, with what the instance holds.
    pub fn renew(&mut self, meter: Arc<Meter>) {
        meter.memory_peak.fetch_max(self.used as u64, Relaxed);
        self.meter = meter;
    }

    /// Bytes of memories and tables.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used
    }

    fn grow(&mut self, current: usize, desired: usize) -> bool {
        let total = self.used.saturating_sub(current).saturating_add(desired);
        if total > self.limit {
            self.meter.asked_bytes.fetch_max(total as u64, Relaxed);
            self.meter.memory_refused.store(true, Relaxed);
            return false;
        }
        if total > self.taken {
            let more = total.div_ceil(PIECE) * PIECE - self.taken;
            if !self.account.grow(more as u64) {
                self.meter.memory_short.store(true, Relaxed);
                return false;
            }
            self.taken += more;
        }
        self.used = total;
        self.meter.memory_peak.fetch_max(total as u64, Relaxed);
        true
    }
}

impl ResourceLimiter for MemoryAccount {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.grow(current, desired))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if desired > self.table_elements {
            self.meter.asked_elements.fetch_max(desired as u64, Relaxed);
            self.meter.memory_refused.store(true, Relaxed);
            return Ok(false);
        }
        let bytes = |elements: usize| elements.saturating_mul(TABLE_ELEMENT_BYTES);
        Ok(self.grow(bytes(current), bytes(desired)))
    }
}
