//! What waits for a slice in the heavy lane, and the threads that take it from there, of one shift at a time.
//! Must never start a slice of a call with a shift that is not on, nor forget to wake the one that is.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::stage::Stage;
use super::{Group, Job, Whose};
use crate::engine::ticker::Pulse;
use crate::host::meter::{now_ns, thread_cpu_ns};
use crate::host::taken::TakenPages;
use crate::model::audience::{Answered, Audience};
use crate::model::fair::Fair;
use crate::model::few::Few;
use crate::model::paging::Paging;
use crate::model::roster::{Roster, Shift, Slice};

/// What a slice takes: a tick.
const SLICE_NS: u64 = 1_000_000;
/// What a thread may take to wake up, in nanoseconds: only what goes beyond is a wait for a core.
const WAKING_NS: u64 = 1_000_000;

/// Calls of one function that take turns at once, for each core: where a thousand did, none would end in time.
const AT_ONCE: usize = 8;
/// But each has so many turns first: what is done then never waits for what takes long.
const FIRST: u32 = 4;

/// Shared by the threads of both shifts and whoever has something for them.
pub(super) struct Queue {
    lines: Mutex<Lines>,
    /// Where threads of each shift wait for something to do.
    yielding: Condvar,
    relief: Condvar,
    /// Calls that wait for their turn or have it.
    busy: AtomicUsize,
    answered: Answered,
    /// Whether it matters which pages calls take.
    counts_pages: AtomicBool,
    cores: u64,
    stop: AtomicBool,
}

struct Lines {
    /// By tenant. No bound of its own: a call holds an instance, and those are bounded.
    calls: Fair<u64, Arc<Job>>,
    /// Those of them that have had their first turns, of one function: a few take turns, the others wait until one of those ends.
    few: Few<Whose, Arc<Job>>,
    /// What is only to be dropped: one slice, however long, while its instance's place is taken. It is always for the relief.
    waste: Fair<u64, Arc<Job>>,
    /// Of tenants, while others are answered.
    paging: Paging<u64>,
    audience: Audience,
    roster: Roster,
    /// Threads that are at a slice.
    working: u64,
    /// Threads of each shift that wait until somebody wakes them.
    asleep: [u64; 2],
}

/// What a thread is to go on with.
struct Taken {
    job: Arc<Job>,
    waste: bool,
    /// Before that it was not to go on.
    due_ns: u64,
}

impl Lines {
    /// It came, or has what it waited for. Tells whose it is from now on.
    fn push(&mut self, job: Arc<Job>) -> Shift {
        if job.is_waste() {
            return self.waste(job);
        }
        if job.course.stage() == Stage::Few {
            self.few.goes_on(job.whose);
        }
        self.line_up(job)
    }

    /// It would go on right after its slice, unless nobody wants it any more. Tells who has something to do now.
    fn goes_on(&mut self, job: Arc<Job>) -> [Option<Shift>; 2] {
        if job.is_waste() {
            return [self.rests(&job), Some(self.waste(job))];
        }
        if job.course.stage() == Stage::Few || job.course.takes_turn() < FIRST {
            return [Some(self.line_up(job)), None];
        }
        job.course.comes_to(Stage::Waits);
        [self.few.comes(job.whose, job).map(|job| self.joins(job)), None]
    }

    /// It is not at it any more: another one takes its place, if it had one.
    fn rests(&mut self, job: &Job) -> Option<Shift> {
        let placed = job.course.stage() == Stage::Few;
        let next = if placed { self.few.rests(&job.whose) } else { None };
        next.map(|next| self.joins(next))
    }

    /// It is one of the few from now on.
    fn joins(&mut self, job: Arc<Job>) -> Shift {
        job.course.comes_to(Stage::Few);
        self.line_up(job)
    }

    fn line_up(&mut self, job: Arc<Job>) -> Shift {
        self.calls.push((job.group.tenant, job.group.weight), job);
        self.roster.on()
    }

    fn waste(&mut self, job: Arc<Job>) -> Shift {
        self.waste.push((job.group.tenant, job.group.weight), job);
        Shift::Relief
    }

    /// The next one for this shift.
    fn take(&mut self, shift: Shift, now_ns: u64) -> Option<Taken> {
        let waste = if shift == Shift::Relief { self.waste.take() } else { None };
        let taken = match waste {
            Some(job) => Taken { job, waste: true, due_ns: 0 },
            None if self.roster.on() == shift => {
                let paging = &self.paging;
                // What is only to be dropped gives memory back.
                let job =
                    self.calls.take_if(|tenant, job| paging.due_ns(tenant) <= now_ns || job.is_waste())?;
                let due_ns = self.paging.due_ns(&job.group.tenant).min(now_ns);
                Taken { job, waste: false, due_ns }
            }
            None => return None,
        };
        self.working += 1;
        Some(taken)
    }

    /// A slice of this group's has ended, and took so many pages. Tells whether to count them, and whether those that were held may all
    /// go on.
    fn took(&mut self, group: Group, pages: u64, (now_ns, answered): (u64, &Answered)) -> (bool, bool) {
        let counts = self.audience.look(now_ns, || answered()) && self.paging.counts();
        if counts {
            self.paging.took((group.tenant, group.weight), pages, now_ns);
        }
        (counts, !counts && self.paging.forget())
    }

    /// How long until somebody who waits here may go on.
    fn held(&self, now_ns: u64) -> Option<Duration> {
        let due = self.calls.waiting().map(|tenant| self.paging.due_ns(tenant)).min();
        due.map(|due_ns| Duration::from_nanos(due_ns.saturating_sub(now_ns)))
    }
}

impl Queue {
    /// For so many cores. While others are answered calls may take so many bytes of new memory in a second.
    pub(super) fn new(cores: usize, (answered, bytes_per_second): (Answered, u64)) -> Self {
        let lines = Lines {
            calls: Fair::new(SLICE_NS),
            few: Few::new(AT_ONCE * cores.max(1)),
            waste: Fair::new(SLICE_NS),
            paging: Paging::new(bytes_per_second),
            audience: Audience::default(),
            roster: Roster::default(),
            working: 0,
            asleep: [0; 2],
        };
        Self {
            lines: Mutex::new(lines),
            yielding: Condvar::new(),
            relief: Condvar::new(),
            busy: AtomicUsize::new(0),
            answered,
            counts_pages: AtomicBool::new(false),
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
        job.awaits_turn(now_ns());
        let shift = self.lock().push(job);
        self.ready(shift).notify_one();
    }

    /// Nobody wants this one any more: it need not wait until others have ended.
    pub(super) fn leaves(&self, job: &Arc<Job>) {
        let mut lines = self.lock();
        let left = lines.few.leaves(&job.whose, |other| Arc::ptr_eq(other, job));
        let shift = left.map(|job| lines.waste(job));
        drop(lines);
        if let Some(shift) = shift {
            self.ready(shift).notify_one();
        }
    }

    fn next(&self, shift: Shift) -> Option<Taken> {
        let mut lines = self.lock();
        loop {
            if self.stop.load(Ordering::SeqCst) {
                return None;
            }
            let (now_ns, ready) = (now_ns(), self.ready(shift));
            let taken = lines.take(shift, now_ns);
            let held = lines.held(now_ns).filter(|_| lines.roster.on() == shift);
            if let Some(taken) = taken {
                if held.is_some() && lines.asleep[shift as usize] > 0 {
                    // Somebody else sees to those before this slice is over, however long it takes.
                    ready.notify_one();
                }
                return Some(taken);
            }
            if let Some(held) = held {
                lines = ready.wait_timeout(lines, held).unwrap_or_else(PoisonError::into_inner).0;
            } else {
                lines.asleep[shift as usize] += 1;
                lines = ready.wait(lines).unwrap_or_else(PoisonError::into_inner);
                lines.asleep[shift as usize] -= 1;
            }
        }
    }

    /// What a thread of this shift does until it is to stop.
    pub(super) fn work(&self, shift: Shift, pulse: &Pulse) {
        let mut free_ns = now_ns();
        let (taken, mut pages) = (TakenPages::of_this_thread(), None);
        while let Some(Taken { job, waste, due_ns }) = self.next(shift) {
            let (began_ns, began_cpu_ns) = (now_ns(), thread_cpu_ns());
            // While this thread was free, and the call was there and to go on.
            let since_ns = free_ns.max(job.has_turn(began_ns)).max(due_ns);
            let waited_ns = began_ns.saturating_sub(since_ns);
            // Nobody wants it any more since it came to its line: that is for the relief.
            let left = shift == Shift::Yielding && job.is_waste();
            let again = left || job.slice(pulse);
            let used_ns = thread_cpu_ns().saturating_sub(began_cpu_ns);
            free_ns = now_ns();
            if let Some(meter) = &job.meter {
                meter.was_kept(free_ns.saturating_sub(began_ns).saturating_sub(used_ns));
            }
            let took_ns = free_ns.saturating_sub(began_ns) + waited_ns.saturating_sub(WAKING_NS);
            let counted = self.counts_pages.load(Ordering::Relaxed).then(|| taken.count()).flatten();
            let before = std::mem::replace(&mut pages, counted);
            let took = counted.zip(before).map_or(0, |(now, before)| now.saturating_sub(before));
            // Charged in the same breath: nobody may see it back in its line at the price of before.
            let mut lines = self.lock();
            let (counts, freed) = lines.took(job.group, took, (free_ns, &self.answered));
            self.counts_pages.store(counts, Ordering::Relaxed);
            let crowd = lines.working.div_ceil(self.cores);
            lines.working = lines.working.saturating_sub(1);
            let next = if again {
                job.awaits_turn(free_ns);
                lines.goes_on(job.clone())
            } else {
                self.busy.fetch_sub(1, Ordering::Relaxed);
                [if waste { None } else { lines.rests(&job) }, None]
            };
            let line = if waste { &mut lines.waste } else { &mut lines.calls };
            line.ends(&job.group.tenant, used_ns);
            let changed = lines.roster.worked(shift, Slice { used_ns, took_ns, crowd }, free_ns);
            let on = lines.roster.on();
            drop(lines);
            if changed || freed {
                // Everything that waits is for those now.
                self.ready(on).notify_all();
            } else {
                let others = next.into_iter().flatten().filter(|next| *next != shift);
                others.for_each(|next| self.ready(next).notify_one());
            }
        }
    }
}
