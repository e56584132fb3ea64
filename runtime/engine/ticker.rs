//! The epoch thread: one tick a millisecond while any guest runs, asleep otherwise.
//! Must never be asked to do anything long; a guest that loops is stopped by what its ticks find out, and a thread that
//! answers without a pause has no precedence for longer than it takes to find that out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use wasmtime::EngineWeak;

use super::program::ProgramId;
use crate::host::meter::now_ns;
use crate::tasks::precedence::Precedence;
use crate::tasks::{self, Rank};

/// One tick.
pub const TICK: Duration = Duration::from_millis(1);
/// Ticks without a running guest after which the thread goes to sleep: waking it costs a system call, so a
/// server with one request now and then should not pay for that each time.
const LINGER: u32 = 200;
/// Threads that may run guests: three times as many as may answer requests, and some to spare.
const THREADS: usize = 256;
/// Ticks after which a thread that is still at the same poll of a guest counts as stuck: a guest yields at each tick,
/// so only a host call or a destructor takes this long.
const STUCK: u64 = 1_000;
/// Ticks after which it is decided anew which threads have precedence.
const REVIEW: u64 = 16;

/// Told which program a thread is stuck in, and for how many ticks.
type OnStuck = Box<dyn Fn(Option<ProgramId>, u64) + Send + Sync>;

/// On its own cache line, so that two threads never wait for each other's flag.
#[derive(Default)]
#[repr(align(64))]
struct Flag {
    /// The tick at which what runs began; zero while nothing runs.
    since: AtomicU64,
    /// What runs, as [`ProgramId::number`]; zero where it is none in particular.
    what: AtomicU64,
    /// The `since` that was reported as stuck.
    reported: AtomicU64,
}

/// Shared by the epoch thread and every thread that runs guests.
pub struct Ticker {
    running: Vec<Flag>,
    /// The number of the tick; the first is one.
    tick: AtomicU64,
    on_stuck: OnceLock<OnStuck>,
    precedence: Precedence,
    taken: AtomicUsize,
    asleep: AtomicBool,
    stop: AtomicBool,
    engines: Mutex<Vec<EngineWeak>>,
    wake: Condvar,
    gate: Mutex<()>,
}

/// One thread's right to say that it runs a guest.
#[derive(Clone)]
pub struct Pulse {
    ticker: Arc<Ticker>,
    index: usize,
}

impl Ticker {
    /// Starts the thread. Where that is allowed it gives [`Precedence`].
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(precedence: bool) -> std::io::Result<Arc<Self>> {
        let ticker = Arc::new(Self {
            running: (0..THREADS).map(|_| Flag::default()).collect(),
            tick: AtomicU64::new(1),
            on_stuck: OnceLock::new(),
            precedence: Precedence::default(),
            taken: AtomicUsize::new(0),
            asleep: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            engines: Mutex::default(),
            wake: Condvar::new(),
            gate: Mutex::default(),
        });
        let thread = ticker.clone();
        tasks::thread("epochs", move || {
            tasks::take(Rank::Answers);
            if precedence {
                thread.precedence.begin();
            }
            thread.run();
        })?;
        Ok(ticker)
    }

    /// Ticks this engine too, for as long as it lives.
    pub fn add(&self, engine: &wasmtime::Engine) {
        let mut engines = self.engines.lock().unwrap_or_else(PoisonError::into_inner);
        engines.push(engine.weak());
    }

    /// A flag for the calling thread.
    #[must_use]
    pub fn pulse(self: &Arc<Self>) -> Pulse {
        let index = self.taken.fetch_add(1, Ordering::Relaxed) % THREADS;
        Pulse { ticker: self.clone(), index }
    }

    /// Who comes before everybody, while this thread is awake.
    #[must_use]
    pub fn precedence(&self) -> &Precedence {
        &self.precedence
    }

    /// Has somebody told, once each time, when a thread does not come back from a guest. Only the first one is told.
    pub fn on_stuck(&self, tell: impl Fn(Option<ProgramId>, u64) + Send + Sync + 'static) {
        drop(self.on_stuck.set(Box::new(tell)));
    }

    /// Ends the thread at its next tick.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
        self.wake();
    }

    fn wake(&self) {
        // The lock orders this notification after the sleeper's last look at the flags.
        drop(self.gate.lock().unwrap_or_else(PoisonError::into_inner));
        self.wake.notify_all();
    }

    fn any_running(&self) -> bool {
        self.running.iter().any(|flag| flag.since.load(Ordering::SeqCst) != 0)
    }

    fn run(&self) {
        let mut idle = 0;
        while !self.stop.load(Ordering::SeqCst) {
            std::thread::sleep(TICK);
            let tick = self.tick.fetch_add(1, Ordering::Relaxed) + 1;
            idle = if self.any_running() { 0 } else { idle + 1 };
            for engine in self.engines.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                if let Some(engine) = engine.upgrade() {
                    engine.increment_epoch();
                }
            }
            if tick.is_multiple_of(REVIEW) {
                self.precedence.review(now_ns());
            }
            if tick.is_multiple_of(STUCK) {
                self.look_for_stuck(tick);
            }
            if idle > LINGER {
                self.precedence.withdraw();
                self.sleep();
                idle = 0;
            }
        }
        self.precedence.withdraw();
    }

    fn look_for_stuck(&self, tick: u64) {
        for flag in &self.running {
            let since = flag.since.load(Ordering::SeqCst);
            if is_stuck(since, tick) && flag.reported.swap(since, Ordering::Relaxed) != since {
                let program = ProgramId::of_number(flag.what.load(Ordering::Relaxed));
                if let Some(tell) = self.on_stuck.get() {
                    tell(program, tick - since);
                }
            }
        }
    }

    fn sleep(&self) {
        let mut gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        self.asleep.store(true, Ordering::SeqCst);
        // A thread that began after this store sees `asleep` and wakes us; one that began before is seen here.
        while !self.any_running() && !self.stop.load(Ordering::SeqCst) {
            gate = self.wake.wait(gate).unwrap_or_else(PoisonError::into_inner);
        }
        self.asleep.store(false, Ordering::SeqCst);
    }
}

/// Whether what began at `since`, if anything did, has lasted too long.
fn is_stuck(since: u64, tick: u64) -> bool {
    since != 0 && tick.saturating_sub(since) >= STUCK
}

impl Pulse {
    /// Says that this thread is about to run a guest, or to drop one.
    pub fn begin(&self, what: Option<ProgramId>) {
        let flag = &self.ticker.running[self.index];
        flag.what.store(what.map_or(0, ProgramId::number), Ordering::Relaxed);
        flag.since.store(self.ticker.tick.load(Ordering::Relaxed), Ordering::SeqCst);
        if self.ticker.asleep.load(Ordering::SeqCst) {
            self.ticker.wake();
        }
    }

    /// Says that no guest runs on this thread any more.
    pub fn end(&self) {
        self.ticker.running[self.index].since.store(0, Ordering::Release);
    }
}

#[cfg(test)]
mod tests;
