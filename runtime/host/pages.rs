//! Tells which pages of a guest's memory were written since it was mapped, as the kernel has it: what puts an instance
//! back asks for them. Must never take a page for clean that could hold a byte of a request.

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::LazyLock;

use wasmtime::component::{Linker, WasmList};
use wasmtime::error::Context as _;
use wasmtime::{Caller, StoreContextMut};

use super::{HostState, lowered};
use crate::tasks::precedence::hurried;

/// What a component that can be put back imports: `func(memory: list<u8>, pages: u32, index: u32) -> u64`. Of the memory
/// that begins where the list does and is so many wasm pages long: which of its pages of [`PAGE`] bytes were written, as
/// the run of that index, its first page in the upper half and the one after its last in the lower; 0 after the last run,
/// [`GIVE_UP`] if the instance is not worth it.
pub const IMPORT: &str = "spawnpoint-written-pages";
/// Bytes of a page.
pub const PAGE: u32 = 4_096;
/// What [`IMPORT`] answers to have the instance thrown away.
pub const GIVE_UP: u64 = u64::MAX;

/// Pages that may be put back: more take longer than a new instance.
const MOST: u32 = 128;
/// Pages that may be asked about: 8 MiB.
const ASKED: u32 = 2_048;
/// Pages of the kernel's that make one of a wasm memory's.
const PER_WASM_PAGE: u32 = 65_536 / PAGE;

/// One number for each page of this process, eight bytes each
/// (<https://docs.kernel.org/admin-guide/mm/pagemap.html>).
static PAGEMAP: LazyLock<Option<File>> = LazyLock::new(|| File::open("/proc/self/pagemap").ok());

/// The page is in memory, or in swap.
const THERE: u64 = 0b11 << 62;
/// It is the file's own, or shared: nobody wrote to it through this mapping.
const OF_A_FILE: u64 = 1 << 61;

thread_local! {
    static NUMBERS: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The runs of pages found last, each from its first page to the one after its last.
#[derive(Debug, Default)]
pub struct Runs(Vec<(u32, u32)>);

impl Runs {
    /// Reads the kernel's numbers of as many pages.
    fn read(&mut self, numbers: &[u8]) -> Result<(), TooMany> {
        self.0.clear();
        let mut all = 0;
        for (page, number) in (0..).zip(numbers.as_chunks::<8>().0) {
            if !is_written(u64::from_le_bytes(*number)) {
                continue;
            }
            all += 1;
            match self.0.last_mut() {
                Some((_, end)) if *end == page => *end += 1,
                _ => self.0.push((page, page + 1)),
            }
        }
        if all > MOST { Err(TooMany) } else { Ok(()) }
    }

    fn answer(&mut self, address: usize, wasm_pages: u32, index: u32) -> u64 {
        if index == 0 {
            let pages = wasm_pages.saturating_mul(PER_WASM_PAGE);
            if pages > ASKED {
                return GIVE_UP;
            }
            let found =
                NUMBERS.with_borrow_mut(|numbers| ask(address, pages, numbers).map(|()| self.read(numbers)));
            if !matches!(found, Ok(Ok(()))) {
                return GIVE_UP;
            }
        }
        self.get(index)
    }

    fn get(&self, index: u32) -> u64 {
        let run = self.0.get(index as usize);
        run.map_or(0, |(start, end)| u64::from(*start) << 32 | u64::from(*end))
    }
}

/// More pages were written than are put back.
struct TooMany;

/// Whether something may have been written to a page: it is there, and it is this process's own. A page that nobody
/// touched is not there, and one that was only read is the file's.
fn is_written(number: u64) -> bool {
    number & THERE != 0 && number & OF_A_FILE == 0
}

/// Fills in the kernel's numbers of so many pages from this address on.
fn ask(address: usize, pages: u32, numbers: &mut Vec<u8>) -> io::Result<()> {
    let file = PAGEMAP.as_ref().ok_or(io::ErrorKind::Unsupported)?;
    numbers.resize(pages as usize * 8, 0);
    let first = (address / PAGE as usize) as u64;
    hurried(|| file.read_exact_at(numbers, first * 8))
}

/// Whether the kernel tells, with pages of the size that is counted in: a page that was written is seen. One that was not
/// and looks written costs time and nothing else.
#[must_use]
pub fn are_told() -> bool {
    let mut memory = vec![0_u8; 4 * PAGE as usize];
    let start = memory.as_ptr().addr().next_multiple_of(PAGE as usize);
    let offset = start - memory.as_ptr().addr();
    memory[offset] = 1;
    // What nobody reads need not be written.
    std::hint::black_box(&mut memory);
    let mut numbers = Vec::new();
    let told = ask(start, 1, &mut numbers).is_ok();
    let number = numbers.first_chunk().map_or(0, |number| u64::from_le_bytes(*number));
    rustix::param::page_size() == PAGE as usize && told && is_written(number)
}

/// Adds [`IMPORT`].
///
/// # Errors
/// wasmtime's own, when there is one already.
pub(super) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker.root().func_wrap(
        IMPORT,
        |mut store: StoreContextMut<'_, HostState>, (memory, pages, index): (WasmList<u8>, u32, u32)| {
            let address = memory.as_le_slice(&store).as_ptr().addr();
            Ok((store.data_mut().written.answer(address, pages, index),))
        },
    )
}

/// Adds the same for a guest that is a core module: of its memory from `pointer` on.
///
/// # Errors
/// wasmtime's own, when there is one already.
pub(super) fn link_core(linker: &mut wasmtime::Linker<HostState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        lowered::INTERNAL,
        lowered::WRITTEN,
        |mut caller: Caller<'_, HostState>, pointer: u32, length: u32, pages: u32, index: u32| {
            let memory = caller.data().lowered.memory().context("the guest has no memory")?;
            let bytes =
                memory.data(&caller).get(pointer as usize..).and_then(|rest| rest.get(..length as usize));
            let address = bytes.context("pointer/length out of bounds of memory")?.as_ptr().addr();
            Ok(caller.data_mut().written.answer(address, pages, index))
        },
    )?;
    Ok(())
}
