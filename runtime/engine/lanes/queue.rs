//! What waits for a slice in the heavy lane, and the threads that take it from there, of one shift at a time.
//! Must never start a slice of a call with a shift that is not on, nor forget to wake the one that is.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::Job;
use crate::engine::ticker::Pulse;
use crate::host::meter::{now_ns, thread_cpu_ns};
use crate::model::fair::Fair;
use crate::model::roster::{Roster, Shift, Slice};

/// What a slice takes: a tick.
const SLICE_NS: u64 = 1_000_000;
/// What a thread may take to wake up, in nanoseconds: only what goes beyond is a wait for a core.
const WAKING_NS: u64 = 1_000_000;

/// Shared by the threads of both shifts and whoever has something for them.
pub(super) struct Queue {
    lines: Mutex<Lines>,
    /// Where threads of each shift wait for something to do.
    yielding: Condvar,
    relief: Condvar,
    /// Calls that wait for their turn or have it.
    busy: AtomicUsize,
    cores: u64,
    stop: AtomicBool,
}

struct Lines {
    /// By tenant. No bound of its own: a call holds an instance, and those are bounded.
    calls: Fair<u64, Arc<Job>>,
    /// What is only to be dropped: one slice, however long, while its instance's place is taken. It is always for the relief.
    waste: Fair<u64, Arc<Job>>,
    roster: Roster,
    /// Threads that are at a slice.
    working: u64,
}

impl Lines {
    /// Whose it is from now on.
    fn push(&mut self, job: Arc<Job>) -> Shift {
        let party = (job.group.tenant, job.group.weight);
        if job.is_waste() {
            self.waste.push(party, job);
            return Shift::Relief;
        }
        self.calls.push(party, job);
        self.roster.on()
    }

    /// The next one for this shift, and whether it is waste.
    fn take(&mut self, shift: Shift) -> Option<(Arc<Job>, bool)> {
        let waste = if shift == Shift::Relief { self.waste.take() } else { None };
        let call = |lines: &mut Self| (lines.roster.on() == shift).then(|| lines.calls.take()).flatten();
        let taken = waste.map(|job| (job, true)).or_else(|| call(self).map(|job| (job, false)))?;
        self.working += 1;
        Some(taken)
    }
}

impl Queue {
    /// For so many cores.
    pub(super) fn new(cores: usize) -> Self {
        let lines = Lines {
            calls: Fair::new(SLICE_NS),
            waste: Fair::new(SLICE_NS),
            roster: Roster::default(),
            working: 0,
        };
        Self {
            lines: Mutex::new(lines),
            yielding: Condvar::new(),
            relief: Condvar::new(),
            busy: AtomicUsize::new(0),
            cores: cores.max(1) as u64,
            stop: AtomicBool::new(false),
        }
    }

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
        job.since_ns.store(now_ns(), Ordering::Relaxed);
        let shift = self.lock().push(job);
        self.ready(shift).notify_one();
    }

    fn next(&self, shift: Shift) -> Option<(Arc<Job>, bool)> {
        let mut lines = self.lock();
        loop {
            if self.stop.load(Ordering::SeqCst) {
                return None;
            }
            if let Some(taken) = lines.take(shift) {
                return Some(taken);
            }
            lines = self.ready(shift).wait(lines).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// What a thread of this shift does until it is to stop.
    pub(super) fn work(&self, shift: Shift, pulse: &Pulse) {
        let mut free_ns = now_ns();
        while let Some((job, waste)) = self.next(shift) {
            let (began_ns, began_cpu_ns) = (now_ns(), thread_cpu_ns());
            // While this thread was free and the call was there.
            let waited_ns = began_ns.saturating_sub(free_ns.max(job.since_ns.load(Ordering::Relaxed)));
            // Nobody wants it any more since it came to its line: that is for the relief.
            let left = shift == Shift::Yielding && job.is_waste();
            let again = left || job.slice(pulse);
            let used_ns = thread_cpu_ns().saturating_sub(began_cpu_ns);
            free_ns = now_ns();
            let took_ns = free_ns.saturating_sub(began_ns) + waited_ns.saturating_sub(WAKING_NS);
            // Charged in the same breath: nobody may see it back in its line at the price of before.
            let mut lines = self.lock();
            let crowd = lines.working.div_ceil(self.cores);
            lines.working = lines.working.saturating_sub(1);
            let next = if again {
                job.since_ns.store(free_ns, Ordering::Relaxed);
                Some(lines.push(job.clone()))
            } else {
                self.busy.fetch_sub(1, Ordering::Relaxed);
                None
            };
            let line = if waste { &mut lines.waste } else { &mut lines.calls };
            line.ends(&job.group.tenant, used_ns);
            let changed = lines.roster.worked(shift, Slice { used_ns, took_ns, crowd }, free_ns);
            let on = lines.roster.on();
            drop(lines);
            if changed {
                // Everything that waits is for those now.
                self.ready(on).notify_all();
            } else if let Some(next) = next.filter(|next| *next != shift) {
                self.ready(next).notify_one();
            }
        }
    }
}
