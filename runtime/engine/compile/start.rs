//! Starts children from a thread that has stepped back already: until a child limits itself it would be loaded and linked at
//! the priority of the threads that answer calls. A thread that has started a child must never end before the process does:
//! its children would be killed.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::tasks::{self, Rank};

/// Children that wait to be started; their number is bounded where they are asked for.
const WAITING: usize = 256;

/// One child to be started, the runtime that waits for it, and who asked.
struct Order {
    command: Command,
    runtime: Handle,
    done: oneshot::Sender<io::Result<Child>>,
}

/// Starts a child of the calling runtime. Dropping the future kills it.
///
/// # Errors
/// The system's: no thread, no process, no pipe.
pub(in crate::engine) async fn start(command: Command) -> io::Result<Child> {
    static STARTER: OnceLock<SyncSender<Order>> = OnceLock::new();
    let starter = if let Some(starter) = STARTER.get() {
        starter
    } else {
        let (orders, receiver) = sync_channel(WAITING);
        tasks::thread("children", move || serve(&receiver))?;
        // Somebody else's may be there by now: then nobody sends to this one, and it ends.
        STARTER.get_or_init(|| orders)
    };
    let (done, started) = oneshot::channel();
    match starter.try_send(Order { command, runtime: Handle::current(), done }) {
        Ok(()) => started.await.map_err(io::Error::other)?,
        Err(TrySendError::Full(order) | TrySendError::Disconnected(order)) => {
            let mut command = order.command;
            command.spawn()
        }
    }
}

fn serve(orders: &Receiver<Order>) {
    tasks::take(Rank::Starts);
    // Whoever was the first to need it may stay on one core.
    tasks::roam();
    for Order { mut command, runtime, done } in orders {
        if done.is_closed() {
            continue;
        }
        let _runtime = runtime.enter();
        // A panic must not end the thread, and with it every child.
        let started = catch_unwind(AssertUnwindSafe(|| command.spawn()));
        let panicked = |_| Err(io::Error::other("starting it panicked"));
        // Whoever has given up meanwhile drops the child, which kills it.
        drop(done.send(started.unwrap_or_else(panicked)));
    }
}
