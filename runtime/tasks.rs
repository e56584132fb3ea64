//! What is running: the only place that starts a thread or a task.
//! Must never start one without a name, nor lose a panic.

use std::future::Future;
use std::io;
use std::sync::OnceLock;
use std::thread::{Builder, JoinHandle};

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

/// How much the threads of the control plane step back behind those that answer calls, which would else wait until one of them
/// has had its time.
pub const CONTROL_NICE: i32 = 5;

/// Lowers the priority of the calling thread, and of what it starts; never raises it.
pub fn step_back(nice: i32) {
    if own_nice() >= nice {
        return;
    }
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), nice) {
        tracing::warn!(%error, "work that ought to step back runs at the priority of all");
    }
}

/// Raises the priority of the calling thread, and of what it starts, as far as the system lets it. Leaves it alone where somebody else
/// has chosen one.
pub fn step_forward(nice: i32) {
    if own_nice() == 0 {
        let allowed =
            |nice| rustix::process::setpriority_process(Some(rustix::thread::gettid()), nice).is_ok();
        let _ = (nice..0).find(|nice| allowed(*nice));
    }
}

/// How far a thread of this process comes that is to [step forward](step_forward). One that has may not be let back, so another tries.
#[must_use]
pub fn allowed_nice(nice: i32) -> i32 {
    let tried = thread("priority", move || {
        step_forward(nice);
        own_nice()
    });
    tried.ok().and_then(|tried| tried.join().ok()).unwrap_or(0)
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
