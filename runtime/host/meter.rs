//! What one invocation uses: CPU time measured around each poll of the guest, and what was refused to it.
//! Must never decide what happens to the guest beyond "stop now".

#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{LazyLock, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use super::notes::Notes;
use crate::model::frame::Frame;
use crate::model::phase::GuestTimes;
use rustix::time::{ClockId, clock_gettime};

/// The origin of all monotonic times in nanoseconds.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Nanoseconds since the process first asked.
#[must_use]
pub fn now_ns() -> u64 {
    u64::try_from(START.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// CPU time of the calling thread, in nanoseconds. A system call.
#[must_use]
pub fn thread_cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds * 1_000_000_000 + nanos
}

/// A guest that has run for so little goes on through a tick, in nanoseconds.
const EARLY_NS: u64 = 500_000;

/// How long a thread may run guests before its own clock is read again, and what a call may be charged by the clock on the
/// wall before it is charged by that one, in nanoseconds. So a call is charged too much by twice this at most.
const STALE_NS: u64 = 1_000_000;

/// Both clocks at one moment, in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Reading {
    wall_ns: u64,
    cpu_ns: u64,
}

thread_local! {
    /// When the calling thread's own clock was read last. A thread that was not scheduled has not used what passed since
    /// on the wall: it has used no more than what passed since on this one.
    static READ: Cell<Reading> = const { Cell::new(Reading { wall_ns: 0, cpu_ns: 0 }) };
}

/// Reads the calling thread's own clock, and remembers it.
fn read_cpu_ns(wall_ns: u64) -> u64 {
    let cpu_ns = thread_cpu_ns();
    READ.set(Reading { wall_ns, cpu_ns });
    cpu_ns
}

/// What the calling thread may have used, in nanoseconds, of so much time on the wall that ends now: no more than it has used since
/// its own clock was read last, which it is.
#[must_use]
pub fn at_most_ns(wall_ns: u64) -> u64 {
    let before = READ.get().cpu_ns;
    wall_ns.min(read_cpu_ns(now_ns()).saturating_sub(before))
}

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
    /// When the handler was called, on the clock of [`now_ns`], and what it waited for its turns.
    pub times: GuestTimes,
    /// The most bytes of memory and tables that were asked for and refused.
    pub asked_bytes: u64,
    /// The longest table that was asked for and refused.
    pub asked_elements: u64,
    /// The bytes of a request's body that was too long, up to where that was found out.
    pub request_body: u64,
    /// Whether the request's body broke off.
    pub body_broke: bool,
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
    first_turns_ns: AtomicU64,
    /// What it has waited for its turns in the heavy lane; and since when it does, zero while it does not.
    turns_ns: AtomicU64,
    turn_since_ns: AtomicU64,
    body_broke: AtomicBool,
    /// Made by the first line or backtrace: most stores have neither.
    notes: OnceLock<Box<Mutex<Notes>>>,
}

impl Meter {
    /// Starts the account of one invocation. Called before the first poll and again when an instance is leased.
    pub fn arm(&self, budget_ms: u64) {
        self.budget_ns.store(budget_ms.saturating_mul(1_000_000), Relaxed);
        self.spent_ns.store(0, Relaxed);
        self.spawned_ns.store(0, Relaxed);
        self.turns_ns.store(0, Relaxed);
        self.first_turns_ns.store(0, Relaxed);
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
        self.body_broke.store(false, Relaxed);
        drop(self.take_notes());
    }

    /// Marks the start of a poll.
    pub fn poll_begins(&self) {
        let wall_ns = now_ns();
        self.poll_wall_ns.store(wall_ns, Relaxed);
        // The first polls of a call are charged by the wall clock, which costs no system call; a call that came
        // back for more is charged by the thread's own clock, so that a busy machine is not held against it.
        let interrupted = self.ticks.load(Relaxed) > 0 || self.by_thread.load(Relaxed);
        let by_thread = interrupted || self.spent_ns.load(Relaxed) > STALE_NS;
        let cpu = if by_thread { thread_cpu_ns().max(1) } else { 0 };
        self.poll_cpu_ns.store(cpu, Relaxed);
        if !by_thread && wall_ns.saturating_sub(READ.get().wall_ns) > STALE_NS {
            read_cpu_ns(wall_ns);
        }
    }

    /// Marks the end of a poll and charges it.
    pub fn poll_ends(&self) {
        let wall_ns = now_ns();
        let used = match self.poll_cpu_ns.load(Relaxed) {
            0 => {
                let wall = wall_ns.saturating_sub(self.poll_wall_ns.load(Relaxed));
                // So long on the wall that it may be somebody else's time.
                if wall > STALE_NS { at_most_ns(wall) } else { wall }
            }
            start => thread_cpu_ns().saturating_sub(start),
        };
        self.spent_ns.fetch_add(used, Relaxed);
    }

    /// Asked by the epoch callback at each tick: what the guest is to do. Remembers it if the budget is spent.
    pub fn tick(&self) -> Tick {
        let wall_ns = now_ns();
        let wall = wall_ns.saturating_sub(self.poll_wall_ns.load(Relaxed));
        let (spent, budget) = (self.spent_ns.load(Relaxed), self.budget_ns.load(Relaxed));
        if wall < EARLY_NS && spent + wall <= budget {
            // Most of that tick passed while it waited.
            return Tick::GoOn;
        }
        let used = match self.poll_cpu_ns.load(Relaxed) {
            0 => {
                // The thread's own clock from here on.
                let used = at_most_ns(wall);
                self.poll_cpu_ns.store(READ.get().cpu_ns.saturating_sub(used).max(1), Relaxed);
                used
            }
            start => thread_cpu_ns().saturating_sub(start),
        };
        if spent + used > budget {
            self.cpu_exceeded.store(true, Relaxed);
            return Tick::Stop;
        }
        if used < EARLY_NS {
            // The thread was not scheduled for most of it.
            return Tick::GoOn;
        }
        self.ticks.fetch_add(1, Relaxed);
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

    /// Notes what an instance holds, in bytes.
    pub fn holds(&self, bytes: usize) {
        self.memory_peak.fetch_max(bytes as u64, Relaxed);
    }

    /// Notes that a growth to so many bytes in all was refused, which is the guest's doing.
    pub fn refuses_bytes(&self, bytes: usize) {
        self.asked_bytes.fetch_max(bytes as u64, Relaxed);
        self.memory_refused.store(true, Relaxed);
    }

    /// Notes that a table of so many elements was refused.
    pub fn refuses_elements(&self, elements: usize) {
        self.asked_elements.fetch_max(elements as u64, Relaxed);
        self.memory_refused.store(true, Relaxed);
    }

    /// Notes that a growth was refused for want of memory, which is not.
    pub fn is_short_of_memory(&self) {
        self.memory_short.store(true, Relaxed);
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
            times: self.times(),
            asked_bytes: self.asked_bytes.load(Relaxed),
            asked_elements: self.asked_elements.load(Relaxed),
            request_body: self.request_body_seen.load(Relaxed),
            body_broke: self.body_broke.load(Relaxed),
        }
    }

    /// Notes that it waits for its turn in the heavy lane.
    pub fn awaits_turn(&self, now_ns: u64) {
        self.turn_since_ns.store(now_ns.max(1), Relaxed);
    }

    /// Notes that it has its turn.
    pub fn has_turn(&self, now_ns: u64) {
        let since_ns = self.turn_since_ns.swap(0, Relaxed);
        if since_ns != 0 {
            self.turns_ns.fetch_add(now_ns.saturating_sub(since_ns), Relaxed);
        }
    }

    /// Notes that so much of its turn its thread was kept from a core.
    pub fn was_kept(&self, ns: u64) {
        self.turns_ns.fetch_add(ns, Relaxed);
    }

    /// How long it has waited for its turns in the heavy lane, in nanoseconds.
    #[must_use]
    pub fn turns_ns(&self) -> u64 {
        let waited_ns = self.turns_ns.load(Relaxed);
        match self.turn_since_ns.load(Relaxed) {
            0 => waited_ns,
            since_ns => waited_ns + now_ns().saturating_sub(since_ns),
        }
    }

    /// Notes that the request's body broke off.
    pub fn body_breaks(&self) {
        self.body_broke.store(true, Relaxed);
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
        self.first_turns_ns.store(self.turns_ns.load(Relaxed), Relaxed);
    }

    /// When [`Meter::spawned`] was called, on the clock of [`now_ns`], and what it has waited for its turns.
    #[must_use]
    pub fn times(&self) -> GuestTimes {
        GuestTimes {
            spawned_ns: self.spawned_ns.load(Relaxed),
            first_turns_ns: self.first_turns_ns.load(Relaxed),
            turns_ns: self.turns_ns(),
        }
    }
}
