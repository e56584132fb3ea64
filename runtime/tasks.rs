//! What is running: the only place that starts a thread or a task.
//! Must never start one without a name, nor lose a panic.

use std::future::Future;
use std::io;
use std::thread::{Builder, JoinHandle};

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

/// Lowers the priority of the calling thread, and of what it starts.
pub fn step_back(nice: i32) {
    let thread = rustix::thread::gettid();
    if let Err(error) = rustix::process::setpriority_process(Some(thread), nice) {
        tracing::warn!(%error, "work that ought to step back runs at the priority of all");
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
