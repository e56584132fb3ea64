//! wasi:http 0.3, where each behaviour is a word in `?do=`: `ok`, `counter`, `trap`, `spin`, `sleep`, `hog`, `error`,
//! `canary` and `small`, which do the same with many pages and with few, `drip`, and `keep`, which never gives a stream
//! back. It must never keep anything between two calls but what is there to be found.

use core::sync::atomic::{AtomicU64, Ordering};

use wasip3::clocks::monotonic_clock::wait_for;
use wasip3::exports::http::handler::Guest;
use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::{wit_bindgen, wit_future, wit_stream};

const PAGE: usize = 64 * 1024;
const WORD: usize = size_of::<u64>();
/// As in `canary`: the pattern is this value complemented, so that the program itself does not hold it.
const SEED: u64 = 0x5ca1_ab1e_0ddb_a115;

static CALLS: AtomicU64 = AtomicU64::new(0);

struct Many;

wasip3::http::service::export!(Many);

impl Guest for Many {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let calls = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
        let target = request.get_path_with_query().unwrap_or_default();
        let (_, what) = target.split_once("do=").unwrap_or(("", "ok"));
        let text = match what {
            "counter" => calls.to_string(),
            "trap" => core::arch::wasm32::unreachable(),
            "spin" => loop {
                std::hint::black_box(&CALLS);
            },
            "sleep" => loop {
                wait_for(3_600_000_000_000).await;
            },
            "hog" => hog(),
            "error" => return Err(ErrorCode::InternalError(None)),
            "canary" => canary(16),
            "small" => canary(2),
            "keep" => {
                std::mem::forget(wit_stream::new::<u8>());
                calls.to_string()
            }
            "drip" => return Ok(drip()),
            _ => "ok".to_owned(),
        };
        Ok(answer(text))
    }
}

fn answer(text: String) -> Response {
    let (mut body, read) = wit_stream::new();
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (response, _) = Response::new(Fields::new(), Some(read), trailers);
    wit_bindgen::spawn_local(async move {
        let _ = body.write_all(text.into_bytes()).await;
    });
    response
}

fn drip() -> Response {
    let (mut body, read) = wit_stream::new();
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (response, _) = Response::new(Fields::new(), Some(read), trailers);
    wit_bindgen::spawn_local(async move {
        while body.write_all(vec![b'.']).await.is_empty() {
            wait_for(100_000_000).await;
        }
    });
    response
}

fn hog() -> ! {
    let mut taken = Vec::new();
    loop {
        taken.push(std::hint::black_box(vec![0xa5_u8; 1 << 20]));
    }
}

fn canary(pages: usize) -> String {
    let pattern = !std::hint::black_box(SEED);
    let old_end = core::arch::wasm32::memory_size::<0>() * PAGE;
    let mut old = (WORD..old_end).step_by(WORD);
    let found = old.find(|&at| read(at) == pattern);
    if core::arch::wasm32::memory_grow::<0>(pages) == usize::MAX {
        return "refused".to_owned();
    }
    let new = (old_end..old_end + pages * PAGE).step_by(WORD);
    let found = found.or_else(|| new.clone().find(|&at| read(at) != 0));
    for at in new {
        write(at, pattern);
    }
    found.map_or("clean".to_owned(), |at| format!("dirty {at:#x}"))
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
