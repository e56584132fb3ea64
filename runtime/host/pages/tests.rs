//! Which numbers of the kernel's mean a page that was written, and what this kernel says of this process.

use proptest::prelude::*;

use super::{ASKED, GIVE_UP, MOST, PAGE, PER_WASM_PAGE, Runs, are_told, is_written};

const PRESENT: u64 = 1 << 63;
const SWAPPED: u64 = 1 << 62;
const FILE: u64 = 1 << 61;

#[test]
fn this_kernel_tells() {
    assert!(are_told());
}

#[test]
fn a_page_is_written_when_it_is_there_and_no_files() {
    assert!(is_written(PRESENT));
    assert!(is_written(SWAPPED), "what was swapped out was written before");
    assert!(!is_written(0), "nobody touched it");
    assert!(!is_written(PRESENT | FILE), "it was read, and not written");
}

#[test]
fn pages_that_were_written_are_found_where_they_are_in_a_real_mapping() {
    let pages = 64;
    let mut memory = vec![0_u8; (pages + 1) * PAGE as usize];
    let start = memory.as_ptr().addr().next_multiple_of(PAGE as usize) - memory.as_ptr().addr();
    for page in [3, 4, 5, 40] {
        memory[start + page * PAGE as usize + 17] = 1;
    }
    let mut runs = Runs::default();
    let address = memory.as_ptr().addr() + start;
    let wasm_pages = u32::try_from(pages).unwrap() / PER_WASM_PAGE;
    let answers = (0..100).map(|index| runs.answer(address, wasm_pages, index));
    let found: Vec<u64> = answers.take_while(|run| *run != 0).collect();
    let holds = |page: u64| found.iter().any(|run| (run >> 32..run & 0xffff_ffff).contains(&page));
    assert!([3, 4, 5, 40].into_iter().all(holds), "{found:x?}");
}

#[test]
fn a_memory_that_is_too_large_or_was_written_all_over_is_given_up() {
    let mut runs = Runs::default();
    assert_eq!(runs.answer(0, ASKED / PER_WASM_PAGE + 1, 0), GIVE_UP);
    let numbers = PRESENT.to_le_bytes().repeat(MOST as usize + 1);
    assert!(runs.read(&numbers).is_err());
    assert!(runs.read(&numbers[8..]).is_ok());
    assert_eq!((runs.get(0), runs.get(1)), (u64::from(MOST), 0));
}

#[test]
fn an_address_that_is_none_is_given_up() {
    assert_eq!(Runs::default().answer(usize::MAX - 4_095, 1, 0), GIVE_UP);
}

proptest! {
    #[test]
    fn the_runs_are_the_written_pages_and_no_others(written in prop::collection::vec(any::<bool>(), 0..128)) {
        let numbers: Vec<u8> =
            written.iter().flat_map(|w| if *w { PRESENT } else { PRESENT | FILE }.to_le_bytes()).collect();
        let mut runs = Runs::default();
        prop_assert!(runs.read(&numbers).is_ok());
        let mut again = vec![false; written.len()];
        for index in 0.. {
            let run = runs.get(index);
            if run == 0 {
                break;
            }
            for page in run >> 32..run & 0xffff_ffff {
                again[usize::try_from(page).unwrap()] = true;
            }
        }
        prop_assert_eq!(again, written);
    }
}
