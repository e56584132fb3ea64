//! The epoch thread: one tick a millisecond while any guest runs, asleep otherwise.
//! Must never be asked to do anything else; a guest that loops is stopped by what its ticks find out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use wasmtime::EngineWeak;

/// One tick.
pub const TICK: Duration = Duration::from_millis(1);
/// Ticks without a running guest after which the thread goes to sleep: waking it costs a system call, so a
/// server with one request now and then should not pay for that each time.
const LINGER: u32 = 200;
/// Threads that may run guests.
const THREADS: usize = 64;

/// On its own cache line, so that two threads never wait for each other's flag.
#[derive(Default)]
#[repr(align(64))]
struct Flag(AtomicBool);

/// Shared by the epoch thread and every thread that runs guests.
pub struct Ticker {
    running: Vec<Flag>,
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
    /// Starts the thread.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start() -> std::io::Result<Arc<Self>> {
        let ticker = Arc::new(Self {
            running: (0..THREADS).map(|_| Flag::default()).collect(),
            taken: AtomicUsize::new(0),
            asleep: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            engines: Mutex::default(),
            wake: Condvar::new(),
            gate: Mutex::default(),
        });
        let thread = ticker.clone();
        crate::tasks::thread("epochs", move || thread.run())?;
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
        self.running.iter().any(|flag| flag.0.load(Ordering::SeqCst))
    }

    fn run(&self) {
        let mut idle = 0;
        while !self.stop.load(Ordering::SeqCst) {
            std::thread::sleep(TICK);
            idle = if self.any_running() { 0 } else { idle + 1 };
            for engine in self.engines.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                if let Some(engine) = engine.upgrade() {
                    engine.increment_epoch();
                }
            }
            if idle > LINGER {
                self.sleep();
                idle = 0;
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

impl Pulse {
    /// Says that this thread is about to run a guest.
    pub fn begin(&self) {
        self.ticker.running[self.index].0.store(true, Ordering::SeqCst);
        if self.ticker.asleep.load(Ordering::SeqCst) {
            self.ticker.wake();
        }
    }

    /// Says that no guest runs on this thread any more.
    pub fn end(&self) {
        self.ticker.running[self.index].0.store(false, Ordering::Release);
    }
}
