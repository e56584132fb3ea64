//! Memory of the heap that is free goes back to the system from a thread of its own. The allocator would have whoever frees something
//! do it, a second after the last time: a thread that answers gave back 64 KiB at a time for one or two milliseconds.
//! Must never be done by a thread that anybody waits for.

use std::io;
use std::time::Duration;

use libmimalloc_sys::{mi_collect, mi_option_set, mi_option_t};

use crate::tasks::{self, Rank};

/// `mi_option_purge_delay` in `mimalloc.h` of the allocator's third version, which its bindings do not name: milliseconds until
/// free memory is given back by whoever happens to be there.
const PURGE_DELAY: mi_option_t = 15;
/// Ten days; less than nothing would also keep the collection below from giving anything back.
const NEVER_MS: std::ffi::c_long = 10 * 24 * 60 * 60 * 1_000;
/// How often it is done.
const EACH: Duration = Duration::from_secs(10);

/// Has free memory given back by a thread that runs when nobody else wants to.
///
/// # Errors
/// When the operating system gives no thread.
pub(super) fn tend() -> io::Result<()> {
    #[expect(unsafe_code, reason = "the allocator's settings have no other binding")]
    // SAFETY: it stores a number that the allocator reads whenever it needs it.
    unsafe {
        mi_option_set(PURGE_DELAY, NEVER_MS);
    }
    let thread = tasks::thread("heap", || {
        tasks::take(Rank::Last);
        loop {
            std::thread::sleep(EACH);
            give_back();
        }
    })?;
    // Ends with the process.
    drop(thread);
    Ok(())
}

fn give_back() {
    #[expect(unsafe_code, reason = "the allocator's collection has no other binding")]
    // SAFETY: any thread may collect at any time; what is in use stays.
    unsafe {
        mi_collect(true);
    }
}
