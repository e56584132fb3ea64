//! What the benches share: servers and their loads as processes, guests, answers that are checked, facts of the machine.
//! Must never know which bench it is for.

use std::path::PathBuf;

use anyhow::Result;

/// A line of the report.
macro_rules! say {
    ($($arg:tt)*) => { println!($($arg)*) };
}
/// A line of progress.
macro_rules! tell {
    ($($arg:tt)*) => { eprintln!($($arg)*) };
}

pub(crate) mod answer;
pub(crate) mod client;
pub(crate) mod guests;
pub(crate) mod load;
pub(crate) mod machine;
pub(crate) mod measure;
pub(crate) mod open_loop;
pub(crate) mod page;
pub(crate) mod pauses;
pub(crate) mod phase;
pub(crate) mod process;
pub(crate) mod spawnpoint;
pub(crate) mod stats;
pub(crate) mod wasm;

/// On Ctrl-C or SIGTERM: end the children, remove the folder, go.
pub(crate) fn end_on_signal(folder: PathBuf) -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        });
        process::end_all(|| {
            let _ = std::fs::remove_dir_all(&folder);
        });
    });
    Ok(())
}
