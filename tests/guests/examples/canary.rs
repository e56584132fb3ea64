//! Looks through its memory for what another run left there, answers `clean` or `dirty ADDRESS`, and leaves a pattern
//! of its own in `?pages=` (64) new pages. It must never have that pattern in its data, or it would find itself.

use guests::wasip2::http::types::{IncomingRequest, ResponseOutparam};

const PAGE: usize = 64 * 1024;
const WORD: usize = size_of::<u64>();
/// The pattern is this value complemented, so that the constant in the program is not the pattern.
const SEED: u64 = 0x5ca1_ab1e_0ddb_a115;

guests::guest!(handle);

fn handle(request: &IncomingRequest, answer: ResponseOutparam) {
    let pages = guests::number(request, "pages").and_then(|n| usize::try_from(n).ok());
    let pages = pages.unwrap_or(64);
    let pattern = !std::hint::black_box(SEED);
    let old_end = core::arch::wasm32::memory_size::<0>() * PAGE;
    let found = (WORD..old_end).step_by(WORD).find(|&at| read(at) == pattern);
    if core::arch::wasm32::memory_grow::<0>(pages) == usize::MAX {
        return guests::respond(answer, 507, "the host refused the pages");
    }
    let new = (old_end..old_end + pages * PAGE).step_by(WORD);
    // A page that was just grown must be zero: any other byte is somebody's.
    let found = found.or_else(|| new.clone().find(|&at| read(at) != 0));
    for at in new {
        write(at, pattern);
    }
    match found {
        None => guests::respond(answer, 200, "clean"),
        Some(at) => guests::respond(answer, 200, &format!("dirty {at:#x}")),
    }
}

#[expect(unsafe_code, reason = "memory that the program does not own is what this guest looks at")]
fn read(at: usize) -> u64 {
    // SAFETY: every caller stays below the size of the linear memory, on multiples of the word.
    unsafe { core::ptr::with_exposed_provenance::<u64>(at).read_volatile() }
}

#[expect(unsafe_code, reason = "the pages were grown by this guest, the allocator knows nothing of them")]
fn write(at: usize, word: u64) {
    // SAFETY: only pages that `memory_grow` has just given are written.
    unsafe { core::ptr::with_exposed_provenance_mut::<u64>(at).write_volatile(word) }
}
