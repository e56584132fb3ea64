//! What is running: the only place that starts a thread or a task.
//! Must never start one without a name, nor lose a panic.

pub mod precedence;

use std::future::Future;
use std::io;
use std::sync::OnceLock;
use std::thread::{Builder, JoinHandle};

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use tokio::runtime::Handle;

use crate::faults;

/// Starts a named thread.
///
/// # Errors
/// When the operating system gives none.
pub fn thread<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    faults::at("thread.spawn")?;
    Builder::new().name(name.to_owned()).spawn(body)
}

/// Who comes before whom, where several want the same core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rank {
    /// Threads that accept and answer, and the one that looks after guests that loop.
    Answers,
    /// Those of the control plane.
    Administers,
    /// What takes long, and has a twelfth of a core that the first want all of.
    TakesLong,
    /// Starting children, which is more than a moment in the kernel. They have ranks of their own.
    Starts,
    /// What has a part of what others leave.
    Last,
}

/// The nice value of the first of them, once that is known.
static FIRST: OnceLock<i32> = OnceLock::new();
const LAST: i32 = 19;

impl Rank {
    /// As a nice value.
    #[must_use]
    pub fn nice(self) -> i32 {
        let first = FIRST.get().copied().unwrap_or(0);
        let nice = match self {
            Self::Answers => first,
            Self::Administers => first + 10,
            Self::TakesLong => first + 11,
            Self::Starts => (first + 11).max(10),
            Self::Last => LAST,
        };
        nice.min(LAST)
    }
}

/// Has the threads that answer run at this nice value, or as near to it as the system allows; everybody else's follows. Tells what
/// it is now: another one where whoever started this process has chosen one. To be called before anybody [takes](take) a rank.
#[must_use]
pub fn begin_ranks(nice: i32) -> i32 {
    // Who has gone up may not be let back, so another tries.
    let tried = thread("priority", move || match own_nice() {
        0 => (nice..0).find(|nice| set_nice(None, *nice).is_ok()).unwrap_or(0),
        chosen => chosen,
    });
    let allowed = tried.ok().and_then(|tried| tried.join().ok()).unwrap_or(0);
    *FIRST.get_or_init(|| allowed)
}

/// Gives the calling thread, and what it starts, this rank.
pub fn take(rank: Rank) {
    // Whoever started it may have it.
    precedence::shed();
    let (own, nice) = (own_nice(), rank.nice());
    // Up only from where it was left by default.
    if (nice > own || own == 0)
        && let Err(error) = set_nice(None, nice)
    {
        tracing::warn!(%error, ?rank, "a thread runs at the priority of all");
    }
}

/// Gives a child the last rank, as far as it has got.
pub fn push_back(child: Option<u32>) {
    let child = child.and_then(|id| Pid::from_raw(id.cast_signed()));
    // It has ended already.
    let _ = child.map(|child| set_nice(Some(child), LAST));
}

fn set_nice(thread: Option<Pid>, nice: i32) -> rustix::io::Result<()> {
    rustix::process::setpriority_process(Some(thread.unwrap_or_else(rustix::thread::gettid)), nice)
}

fn own_nice() -> i32 {
    rustix::process::getpriority_process(Some(rustix::thread::gettid())).unwrap_or(0)
}

/// Has the calling thread, and what it starts, run only when nobody else wants to; where that is not allowed, it goes on as it
/// is. There is no way back without privileges. Not for threads of a process that serves: whoever waits for a lock that one of
/// them holds might wait for ever.
pub fn run_when_idle() {
    use thread_priority::unix::set_thread_priority_and_policy;
    use thread_priority::{
        NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, thread_native_id,
    };
    let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    // It asks for a nice value too, which is not always given, and says nothing among threads that are idle.
    let _ = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle);
}

/// The cores that this process may use, once a thread has one of its own.
static CORES: OnceLock<CpuSet> = OnceLock::new();

/// The numbers of the cores that the calling thread may run on.
#[must_use]
pub fn cores() -> Vec<usize> {
    let may = sched_getaffinity(None).unwrap_or_default();
    (0..CpuSet::MAX_CPU).filter(|core| may.is_set(*core)).collect()
}

/// Keeps the calling thread on this core. What it starts stays there, too, unless it [roams](roam).
pub fn stay_on(core: usize) {
    let mut only = CpuSet::new();
    only.set(core);
    let before = sched_getaffinity(None);
    match before.and_then(|before| sched_setaffinity(None, &only).map(|()| before)) {
        Ok(before) => {
            CORES.get_or_init(|| before);
        }
        Err(error) => tracing::warn!(core, %error, "a thread has no core of its own"),
    }
}

/// Lets the calling thread run wherever this process may, whoever started it.
pub fn roam() {
    if let Some(cores) = CORES.get() {
        // It stays where it is.
        let _ = sched_setaffinity(None, cores);
    }
}

/// Starts a task on the calling thread's local set; it ends with the set.
#[expect(clippy::disallowed_methods, reason = "this is the one place that spawns")]
pub fn local(body: impl Future<Output = ()> + 'static) {
    drop(tokio::task::spawn_local(body));
}

/// Starts a task on the calling runtime; it ends with the runtime.
#[expect(clippy::disallowed_methods, reason = "this is the one place that spawns")]
pub fn detached<T: Send + 'static>(
    body: impl Future<Output = T> + Send + 'static,
) -> tokio::task::JoinHandle<T> {
    tokio::spawn(body)
}

/// Starts a task on another runtime; it ends with that runtime.
pub fn on<T: Send + 'static>(
    runtime: &Handle,
    body: impl Future<Output = T> + Send + 'static,
) -> tokio::task::JoinHandle<T> {
    runtime.spawn(body)
}

/// Runs something that blocks on the threads another runtime keeps for that.
pub fn blocking<T: Send + 'static>(
    runtime: &Handle,
    body: impl FnOnce() -> T + Send + 'static,
) -> tokio::task::JoinHandle<T> {
    runtime.spawn_blocking(body)
}
