//! What waits for a slice in the heavy lane, and the threads that take it from there, of one shift at a time.
//! Must never leave a call to a shift that is not on, nor forget to wake the one that is.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::Job;
use crate::engine::ticker::Pulse;
use crate::host::meter::{now_ns, thread_cpu_ns};
use crate::model::fair::Fair;
use crate::model::roster::{Roster, Shift};

/// What a slice takes: a tick.
const SLICE_NS: u64 = 1_000_000;

/// Shared by the threads of both shifts and whoever has something for them.
pub(super) struct Queue {
    lines: Mutex<Lines>,
    /// Where threads of each shift wait for something to do.
    yielding: Condvar,
    relief: Condvar,
    /// Calls that wait for their turn or have it.
    busy: AtomicUsize,
    stop: AtomicBool,
}

struct Lines {
    /// By tenant. No bound of its own: a call holds an instance, and those are bounded.
    fair: Fair<u64, Arc<Job>>,
    roster: Roster,
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            lines: Mutex::new(Lines { fair: Fair::new(SLICE_NS), roster: Roster::default() }),
            yielding: Condvar::new(),
            relief: Condvar::new(),
            busy: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
        }
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ready(&self, shift: Shift) -> &Condvar {
        match shift {
            Shift::Yielding => &self.yielding,
            Shift::Relief => &self.relief,
        }
    }

    pub(super) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed) > 0
    }

    /// Ends the threads, each after the slice it is at.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
        drop(self.lock());
        self.yielding.notify_all();
        self.relief.notify_all();
    }

    pub(super) fn push(&self, job: Arc<Job>) {
        self.busy.fetch_add(1, Ordering::Relaxed);
        let mut lines = self.lock();
        lines.fair.push((job.group.tenant, job.group.weight), job);
        let on = lines.roster.on();
        drop(lines);
        self.ready(on).notify_one();
    }

    fn next(&self, shift: Shift) -> Option<Arc<Job>> {
        let mut lines = self.lock();
        loop {
            if self.stop.load(Ordering::SeqCst) {
                return None;
            }
            if lines.roster.on() == shift
                && let Some(job) = lines.fair.take()
            {
                return Some(job);
            }
            lines = self.ready(shift).wait(lines).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// What a thread of this shift does until it is to stop.
    pub(super) fn work(&self, shift: Shift, pulse: &Pulse) {
        while let Some(job) = self.next(shift) {
            let (began_ns, began_cpu_ns) = (now_ns(), thread_cpu_ns());
            let again = job.slice(pulse);
            let used_ns = thread_cpu_ns().saturating_sub(began_cpu_ns);
            let took_ns = now_ns().saturating_sub(began_ns);
            // Charged in the same breath: nobody may see it back in its line at the price of before.
            let mut lines = self.lock();
            if again {
                lines.fair.push((job.group.tenant, job.group.weight), job.clone());
            } else {
                self.busy.fetch_sub(1, Ordering::Relaxed);
            }
            lines.fair.ends(&job.group.tenant, used_ns);
            lines.roster.worked(shift, used_ns, took_ns);
            let on = lines.roster.on();
            drop(lines);
            // Everything that waits is for those now.
            if on != shift {
                self.ready(on).notify_all();
            }
        }
    }
}
