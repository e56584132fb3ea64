//! Answers what an instance looks like that nobody has called, `calls=0 pages=N zero`, and then leaves its marks: counts,
//! grows its memory by `?grow=` pages (1), fills them, and with `?keep` never gives a handle back. It must never set
//! anything back.

use std::sync::atomic::{AtomicU64, Ordering};

use guests::wasip2::http::types::{Fields, IncomingRequest, ResponseOutparam};

const PAGE: usize = 64 * 1024;
/// Bytes between two that are written.
const STEP: usize = 4 * 1024;

static CALLS: AtomicU64 = AtomicU64::new(0);

guests::guest!(handle);

fn handle(request: &IncomingRequest, answer: ResponseOutparam) {
    let calls = CALLS.fetch_add(1, Ordering::Relaxed);
    let pages = core::arch::wasm32::memory_size::<0>();
    if guests::query(request, "keep").is_some() {
        std::mem::forget(Fields::new());
    }
    let more = guests::number(request, "grow").and_then(|more| usize::try_from(more).ok()).unwrap_or(1);
    let start = core::arch::wasm32::memory_grow::<0>(more);
    if start == usize::MAX {
        return guests::respond(answer, 507, "the host refused the pages");
    }
    let grown = || (start * PAGE..(start + more) * PAGE).step_by(STEP);
    let zero = if grown().all(|at| read(at) == 0) { "zero" } else { "marked" };
    grown().for_each(|at| write(at, 0x5a));
    guests::respond(answer, 200, &format!("calls={calls} pages={pages} {zero}"));
}

#[expect(unsafe_code, reason = "the allocator knows nothing of what this guest grew")]
fn read(at: usize) -> u8 {
    // SAFETY: every caller stays within the pages that `memory_grow` has just given.
    unsafe { core::ptr::with_exposed_provenance::<u8>(at).read_volatile() }
}

#[expect(unsafe_code, reason = "the allocator knows nothing of what this guest grew")]
fn write(at: usize, byte: u8) {
    // SAFETY: every caller stays within the pages that `memory_grow` has just given.
    unsafe { core::ptr::with_exposed_provenance_mut::<u8>(at).write_volatile(byte) }
}
