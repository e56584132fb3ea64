//! The one harness: the real binary on port 0 in a temp dir, guests built by the run itself, clients with and without
//! manners. Must never leave a process or a file behind, nor assert on how fast anything is.

pub mod canary;
pub mod cli;
pub mod client;
pub mod faults;
pub mod frames;
pub mod generated;
pub mod guests;
pub mod h2;
pub mod server;
pub mod siege;
pub mod store;
pub mod wasm;

pub use client::{Answer, Raw, get, request};
pub use guests::{guest, sample, wat};
pub use h2::H2;
pub use server::{Config, Server};

use std::time::{Duration, Instant};

/// Far longer than anything takes; only a hang gets there.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until something is true.
///
/// # Panics
/// When it does not become true in time.
#[track_caller]
pub fn eventually(what: &str, mut is_true: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_true() {
        assert!(began.elapsed() < PATIENCE, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
