//! The heavy lane: threads of lower priority that go on with calls which have used up their first ticks elsewhere.
//! One slice at a time, of the tenant that has used the least. Must never keep a call whose owner has left, nor run one
//! twice at once.

mod errand;
mod queue;
mod stage;

use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};

use super::instance::{Ended, Run};
use super::program::ProgramId;
use super::ticker::{Pulse, Ticker};
use crate::host::account::Account;
use crate::host::meter::Meter;
use crate::model::audience::Answered;
use crate::model::roster::Shift;
use crate::tasks::{self, Rank};
use errand::Errand;
use queue::Queue;
use stage::{Course, Stage};

/// Ticks after which a call leaves the thread that took it.
pub const LIGHT_TICKS: u32 = 2;
/// CPU time above which a call that stayed counts as heavy, in nanoseconds: more than one that is interrupted once is
/// charged for a tick that was not its own.
pub const HEAVY_NS: u64 = (LIGHT_TICKS as u64 + 1) * 1_000_000;
/// The shifts, what their threads are called, and how much those give way to the ones that answer short calls. Not idle priority: a thread that holds a lock and
/// is never scheduled would hold up everybody. At 19 a thread has a seventieth of a core that others want all of, a
/// two-hundredth where those have stepped forward, and eleven behind them a twelfth.
const SHIFTS: [(Shift, &str, Rank); 2] =
    [(Shift::Yielding, "heavy", Rank::Last), (Shift::Relief, "heavy-relief", Rank::TakesLong)];

/// Whose turn it is: calls of one group share its part of the lane.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// Made from the tenant.
    pub tenant: u64,
    /// How many parts it has.
    pub weight: u32,
}

impl Group {
    /// A tenant's.
    #[must_use]
    pub fn of(account: &Account) -> Self {
        let tenant = BuildHasherDefault::<DefaultHasher>::default().hash_one(&account.tenant);
        Self { tenant, weight: account.quota.weight }
    }

    /// What a tenant has tried: apart from its calls, or a thousand of those would keep it from deploying better ones.
    #[must_use]
    pub fn of_proofs(account: &Account) -> Self {
        let Self { tenant, weight } = Self::of(account);
        Self { tenant: !tenant, weight }
    }
}

/// The heavy lane.
#[derive(Clone)]
pub struct HeavyLane(Arc<Queue>);

/// Whether an instance has ended in the heavy lane, and whom to wake then.
pub struct Gone {
    yes: AtomicBool,
    janitor: Arc<Notify>,
}

/// A call that was given to the heavy lane. Dropping it ends the guest there.
pub struct Given {
    job: Arc<Job>,
    done: oneshot::Receiver<Ended>,
    received: bool,
}

const IDLE: u8 = 0;
const QUEUED: u8 = 1;
const RUNNING: u8 = 2;
/// Woken while it ran.
const AGAIN: u8 = 3;
const OVER: u8 = 4;

/// A function, or what else a group has done.
type Whose = (u64, Option<ProgramId>);

struct Job {
    group: Group,
    state: AtomicU8,
    /// Nobody wants what comes of it: it is only to be dropped.
    left: AtomicBool,
    /// Of those, a few take turns at once.
    whose: Whose,
    course: Course,
    /// Since when it is in its line.
    since_ns: AtomicU64,
    /// Told how long a call waits for its turns.
    meter: Option<Arc<Meter>>,
    work: Mutex<Option<Work>>,
    queue: Arc<Queue>,
    /// Woken when the guest begins to wait for something.
    owner: Mutex<Option<Waker>>,
}

/// What is to be done, and who is told when its instance has ended here and is not handed back.
enum Work {
    Run(Run, oneshot::Sender<Ended>, Arc<Gone>),
    Errand(Errand),
    Waste(Box<dyn Send>, Arc<Gone>),
}

impl Gone {
    /// Not yet.
    #[must_use]
    pub fn new(janitor: &Arc<Notify>) -> Arc<Self> {
        Arc::new(Self { yes: AtomicBool::new(false), janitor: janitor.clone() })
    }

    /// Whether it has.
    #[must_use]
    pub fn is(&self) -> bool {
        self.yes.load(Ordering::SeqCst)
    }

    fn tell(&self) {
        self.yes.store(true, Ordering::SeqCst);
        self.janitor.notify_one();
    }
}

impl HeavyLane {
    /// Starts this many threads of each shift. Timers of guests that run here belong to `timers`. While somebody is answered,
    /// calls here may take so many bytes of new memory in a second, or as much as they want where that is zero.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(
        threads: usize,
        ticker: &Arc<Ticker>,
        timers: &Handle,
        new_memory: (Answered, u64),
    ) -> std::io::Result<Self> {
        let queue = Arc::new(Queue::new(tasks::cores().len(), new_memory));
        for (index, (shift, name, rank)) in (0..threads).flat_map(|index| SHIFTS.map(|row| (index, row))) {
            let (queue, ticker, timers) = (queue.clone(), ticker.clone(), timers.clone());
            let pulse = ticker.pulse();
            tasks::thread(&format!("{name}-{index}"), move || {
                let _timers = timers.enter();
                tasks::take(rank);
                ticker.precedence().gives_way();
                queue.work(shift, &pulse);
            })?;
        }
        Ok(Self(queue))
    }

    /// Whether there is something that could use a core.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.0.is_busy()
    }

    /// Ends the threads, each after the slice it is at.
    pub fn stop(&self) {
        self.0.stop();
    }

    /// Takes a call over. `gone` is told if it ends without being handed back.
    #[must_use]
    pub fn give(&self, group: Group, run: Run, gone: Arc<Gone>) -> Given {
        let (done, receiver) = oneshot::channel();
        let meter = Some(run.meter().clone());
        let job = self.job(group, (Work::Run(run, done, gone), meter), false);
        Given { job, done: receiver, received: false }
    }

    /// Takes over what takes long to drop. `gone` is told when that is done.
    pub fn throw_away(&self, group: Group, waste: Box<dyn Send>, gone: Arc<Gone>) {
        self.job(group, (Work::Waste(waste, gone), None), true);
    }

    fn job(&self, group: Group, (work, meter): (Work, Option<Arc<Meter>>), left: bool) -> Arc<Job> {
        let program = if let Work::Run(run, ..) = &work { Some(run.program()) } else { None };
        let whose = (group.tenant, program);
        let job = Arc::new(Job {
            group,
            state: AtomicU8::new(QUEUED),
            left: AtomicBool::new(left),
            whose,
            course: Course::default(),
            since_ns: AtomicU64::new(0),
            meter,
            work: Mutex::new(Some(work)),
            queue: self.0.clone(),
            owner: Mutex::default(),
        });
        self.0.push(job.clone());
        job
    }
}

impl Job {
    fn owner(&self) -> MutexGuard<'_, Option<Waker>> {
        self.owner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It is in its line.
    fn awaits_turn(&self, now_ns: u64) {
        self.since_ns.store(now_ns, Ordering::Relaxed);
        if let Some(meter) = &self.meter {
            meter.awaits_turn(now_ns);
        }
    }

    /// It has its turn. Tells since when it was in its line.
    fn has_turn(&self, now_ns: u64) -> u64 {
        if let Some(meter) = &self.meter {
            meter.has_turn(now_ns);
        }
        self.since_ns.load(Ordering::Relaxed)
    }

    /// Nobody wants what comes of it any more.
    fn leave(self: &Arc<Self>) {
        self.left.store(true, Ordering::SeqCst);
        if self.state.load(Ordering::SeqCst) == QUEUED {
            self.queue.leaves(self);
        }
        Arc::clone(self).wake();
    }

    fn is_waste(&self) -> bool {
        self.left.load(Ordering::SeqCst)
    }

    /// Runs the call until it waits, yields or ends. Returns whether it would go on.
    fn slice(self: &Arc<Self>, pulse: &Pulse) -> bool {
        self.state.store(RUNNING, Ordering::SeqCst);
        let mut place = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(work) = place.as_mut() else { return false };
        let waker = Waker::from(self.clone());
        let mut cx = Context::from_waker(&waker);
        let polled = match work {
            _ if self.is_waste() => None,
            Work::Waste(..) => None,
            Work::Run(run, ..) => Some(run.poll(&mut cx, pulse).map(Some)),
            Work::Errand(errand) => Some(errand(&mut cx, pulse).map(|()| None)),
        };
        match polled {
            None => {
                self.clear(&mut place, pulse);
                false
            }
            Some(Poll::Ready(ended)) => {
                self.state.store(OVER, Ordering::SeqCst);
                if let (Some(Work::Run(run, done, gone)), Some(ended)) = (place.take(), ended) {
                    drop(run);
                    if let Err(ended) = done.send(ended) {
                        throw_away(ended, pulse);
                        gone.tell();
                    }
                }
                false
            }
            Some(Poll::Pending) => {
                drop(place);
                if self.state.compare_exchange(RUNNING, IDLE, Ordering::SeqCst, Ordering::SeqCst).is_err() {
                    self.state.store(QUEUED, Ordering::SeqCst);
                    return true;
                }
                // With nothing locked: its thread runs at once, in place of this one, and locks that first.
                let owner = self.owner().take();
                owner.into_iter().for_each(Waker::wake);
                false
            }
        }
    }
}

impl Job {
    /// Drops what there is to do instead of doing it: all of it is waste.
    fn clear(&self, place: &mut Option<Work>, pulse: &Pulse) {
        self.state.store(OVER, Ordering::SeqCst);
        let gone = match place.take() {
            Some(Work::Run(run, _, gone)) => {
                throw_away(run, pulse);
                gone
            }
            Some(Work::Waste(waste, gone)) => {
                throw_away(waste, pulse);
                gone
            }
            Some(Work::Errand(errand)) => return throw_away(errand, pulse),
            None => return,
        };
        gone.tell();
    }
}

/// Drops what a guest left behind. A panic of a destructor costs that store only.
fn throw_away<T>(waste: T, pulse: &Pulse) {
    pulse.begin(None);
    let _ = catch_unwind(AssertUnwindSafe(|| drop(waste)));
    pulse.end();
}

impl Wake for Job {
    fn wake(self: Arc<Self>) {
        loop {
            let (from, to) = match self.state.load(Ordering::SeqCst) {
                IDLE => (IDLE, QUEUED),
                RUNNING => (RUNNING, AGAIN),
                _ => return,
            };
            if self.state.compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
                if to == QUEUED {
                    self.queue.push(self.clone());
                }
                return;
            }
        }
    }
}

impl Given {
    /// Ready once the call has ended; woken too when the guest begins to wait.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        if self.received {
            return Poll::Pending;
        }
        *self.job.owner() = Some(cx.waker().clone());
        let polled = Pin::new(&mut self.done).poll(cx);
        polled.map(|ended| {
            self.received = true;
            // Only a lane that was stopped drops a call without a word.
            ended.unwrap_or(Ended::Panicked)
        })
    }

    /// Whether it waits until others of its function have ended.
    #[must_use]
    pub fn waits_for_others(&self) -> bool {
        self.job.course.stage() == Stage::Waits
    }

    /// Whether the guest runs, or would if it were its turn.
    #[must_use]
    pub fn is_computing(&self) -> bool {
        matches!(self.job.state.load(Ordering::SeqCst), QUEUED | RUNNING | AGAIN)
    }

    /// What the call ended with, if nobody has asked yet.
    pub fn take(&mut self) -> Option<Ended> {
        if self.received {
            return None;
        }
        self.done.close();
        let ended = self.done.try_recv().ok();
        self.received = ended.is_some();
        ended
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        self.job.leave();
    }
}
