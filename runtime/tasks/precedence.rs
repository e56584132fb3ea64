//! Which threads have real-time priority, and until when: those that answer, while they sleep for a part of the time, so that
//! they are before everybody else without keeping anybody from a core. And whoever gives way to them, for a moment in which they
//! would wait for it. Must never leave it to a thread that hardly sleeps, nor to any while nobody reviews them, nor to a guest
//! that gives way.

#[cfg(test)]
mod tests;

use std::cell::OnceCell;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::process::{Resource, getrlimit};
use thread_priority::unix::{set_thread_priority_and_policy, thread_schedule_policy};
use thread_priority::{
    NormalThreadSchedulePolicy, RealtimeThreadSchedulePolicy, ThreadId, ThreadPriority, ThreadPriorityValue,
    ThreadSchedulePolicy, thread_native_id,
};

use super::Rank;

/// The lowest real-time priority there is: of who gives way, for a moment.
const HURRIED: u8 = 1;
/// Of those that answer.
const ANSWERS: u8 = 2;
/// Who reviews comes before those: a thread that does not give up its core would else never lose it.
const REVIEWER: u8 = 3;
/// A thread sleeps for so many parts of the time at least: others have no less of its core than they are owed without
/// real-time priority.
const SLEEPS: u64 = 8;

const NORMAL: ThreadSchedulePolicy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Other);
/// Two servers on one core take turns, and leave others what neither wants.
const REAL_TIME: ThreadSchedulePolicy =
    ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::RoundRobin);

thread_local! {
    /// To whom this thread gives way.
    static GIVES_WAY: OnceCell<Arc<Review>> = const { OnceCell::new() };
}

/// What came of the last review.
#[derive(Default)]
struct Review {
    /// Whether there is one, and another will follow.
    is_on: AtomicBool,
    /// Whether any of those that answer has real-time priority.
    has_any: AtomicBool,
}

/// Dropped when the moment is over.
enum Moment {
    RealTime(ThreadId),
    /// Where nobody has that: with the nice value that the thread had before.
    Nice(i32),
}

/// The threads that may have real-time priority.
#[derive(Default)]
pub struct Precedence {
    /// Whether who reviews has it.
    allowed: AtomicBool,
    review: Arc<Review>,
    members: Mutex<Vec<Member>>,
}

/// How long a thread has slept, told by itself.
#[derive(Default)]
pub struct Slept {
    ns: AtomicU64,
    /// Since when it sleeps; zero while it does not.
    since_ns: AtomicU64,
}

/// Dropped by a member when it ends.
pub struct Membership<'a> {
    of: &'a Precedence,
    slept: Arc<Slept>,
}

struct Member {
    thread: ThreadId,
    slept: Arc<Slept>,
    has: bool,
    /// What the last review saw: when it was, and what had been slept until then.
    reviewed_ns: u64,
    slept_ns: u64,
}

impl Slept {
    /// The thread goes to sleep.
    pub fn begins(&self, now_ns: u64) {
        self.since_ns.store(now_ns.max(1), Ordering::Release);
    }

    /// It has woken up.
    pub fn ends(&self, now_ns: u64) {
        // Before it is added: who reads the sum first and this then counts no sleep twice.
        let since_ns = self.since_ns.swap(0, Ordering::AcqRel);
        if since_ns != 0 {
            self.ns.fetch_add(now_ns.saturating_sub(since_ns), Ordering::Release);
        }
    }

    /// Until now, in nanoseconds.
    fn until(&self, now_ns: u64) -> u64 {
        let ns = self.ns.load(Ordering::Acquire);
        match self.since_ns.load(Ordering::Acquire) {
            0 => ns,
            since_ns => ns + now_ns.saturating_sub(since_ns),
        }
    }
}

/// Whether so many threads of this process may have it, tried on one of its own: not where whoever started it has chosen a nice
/// value or a policy, nor where a process is ended for having had it too long, nor for more of them than there are cores: who waits for a
/// core that another of them has would be taken for one that sleeps.
#[must_use]
pub fn is_given(threads: usize) -> bool {
    let alone = threads <= super::cores().len();
    let unlimited = getrlimit(Resource::Rttime).current.is_none();
    let chosen = super::own_nice() != 0 || thread_schedule_policy() != Ok(NORMAL);
    let tried = || super::thread("priority", || give(thread_native_id(), REVIEWER));
    alone && unlimited && !chosen && tried().is_ok_and(|tried| tried.join().unwrap_or(false))
}

/// Takes real-time priority from the calling thread, which has it only from the one that started it. Not asked before: the C
/// library answers what it was when that began to start it.
pub(super) fn shed() {
    if EVER.load(Ordering::Relaxed) {
        take_from(thread_native_id());
    }
}

/// Does what others wait for in the kernel until it is done, like any change of the process's memory map. A thread that gives way
/// comes, for as long as that takes, right after those that answer, or where none of those has real-time priority, beside them: it
/// would else hold them up for as long as it does not run.
pub fn hurried<T>(what: impl FnOnce() -> T) -> T {
    let _moment = Moment::begin();
    what()
}

/// As [`hurried`], each time that it is polled. Not for what runs a guest.
pub async fn hurrying<F: Future>(what: F) -> F::Output {
    let mut what = pin!(what);
    std::future::poll_fn(|cx| hurried(|| what.as_mut().poll(cx))).await
}

impl Moment {
    fn begin() -> Option<Self> {
        let has_any = GIVES_WAY.with(|gives_way| {
            let review = gives_way.get().filter(|review| review.is_on.load(Ordering::Relaxed))?;
            Some(review.has_any.load(Ordering::Relaxed))
        })?;
        if has_any {
            let thread = thread_native_id();
            return give(thread, HURRIED).then_some(Self::RealTime(thread));
        }
        let own = super::own_nice();
        super::set_nice(None, Rank::Answers.nice()).is_ok().then_some(Self::Nice(own))
    }
}

impl Drop for Moment {
    fn drop(&mut self) {
        match *self {
            Self::RealTime(thread) => drop(take_from(thread)),
            Self::Nice(own) => drop(super::set_nice(None, own)),
        }
    }
}

/// Whether any thread of this process has had it from here.
static EVER: AtomicBool = AtomicBool::new(false);

fn give(thread: ThreadId, priority: u8) -> bool {
    let priority = ThreadPriorityValue::try_from(priority).map(ThreadPriority::Crossplatform);
    EVER.store(true, Ordering::Relaxed);
    priority.is_ok_and(|priority| set_thread_priority_and_policy(thread, priority, REAL_TIME).is_ok())
}

/// The nice value it had stays.
fn take_from(thread: ThreadId) -> bool {
    // The library sets the nice value of the calling thread, whatever thread it is about: to what that has.
    let own = super::own_nice();
    let priorities =
        (0..=100).filter_map(|n| ThreadPriorityValue::try_from(n).map(ThreadPriority::Crossplatform).ok());
    let same =
        priorities.into_iter().find(|priority| priority.to_posix(NORMAL).is_ok_and(|nice| nice == own));
    same.is_some_and(|same| set_thread_priority_and_policy(thread, same, NORMAL).is_ok())
}

impl Precedence {
    /// The calling thread reviews from now on, and comes before all that it reviews; without that nobody has any.
    pub fn begin(&self) {
        self.allowed.store(give(thread_native_id(), REVIEWER), Ordering::Relaxed);
    }

    /// The calling thread gives way to those that are reviewed, but for a [moment](hurried) now and then.
    pub fn gives_way(&self) {
        // Once is enough.
        let _ = GIVES_WAY.with(|gives_way| gives_way.set(self.review.clone()));
    }

    /// Has the calling thread reviewed, which tells there when it sleeps.
    #[must_use]
    pub fn join(&self, slept: Arc<Slept>) -> Membership<'_> {
        let thread = thread_native_id();
        let member = Member { thread, slept: slept.clone(), has: false, reviewed_ns: 0, slept_ns: 0 };
        self.members().push(member);
        Membership { of: self, slept }
    }

    fn members(&self) -> MutexGuard<'_, Vec<Member>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives it to those that have slept enough since the last review, and takes it from the others.
    pub fn review(&self, now_ns: u64) {
        if !self.allowed.load(Ordering::Relaxed) {
            return;
        }
        let mut has_any = false;
        for member in self.members().iter_mut() {
            let slept_ns = member.slept.until(now_ns);
            let slept = slept_ns.saturating_sub(member.slept_ns);
            let sleeps = is_enough(slept, now_ns.saturating_sub(member.reviewed_ns));
            (member.slept_ns, member.reviewed_ns) = (slept_ns, now_ns);
            member.set(sleeps);
            has_any |= member.has;
        }
        self.review.has_any.store(has_any, Ordering::Relaxed);
        self.review.is_on.store(true, Ordering::Relaxed);
    }

    /// Takes it from all, until the next review.
    pub fn withdraw(&self) {
        self.review.is_on.store(false, Ordering::Relaxed);
        self.members().iter_mut().for_each(|member| member.set(false));
    }
}

/// Whether who has slept for so long of so long may come before everybody.
fn is_enough(slept_ns: u64, of_ns: u64) -> bool {
    slept_ns > of_ns / SLEEPS
}

impl Member {
    fn set(&mut self, has: bool) {
        // What fails is tried again at the next review.
        if has != self.has && if has { give(self.thread, ANSWERS) } else { take_from(self.thread) } {
            self.has = has;
        }
    }
}

impl Drop for Membership<'_> {
    fn drop(&mut self) {
        // Locked, a review is over: nobody touches a thread that has ended.
        self.of.members().retain(|member| !Arc::ptr_eq(&member.slept, &self.slept));
        shed();
    }
}
