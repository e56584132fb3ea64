//! Gaps of all kinds, and for how long a thread looks after them.

use proptest::prelude::*;

use super::*;

const MOST: u64 = 100_000;

#[test]
fn a_thread_that_is_woken_again_and_again_looks_for_as_long_as_it_may() {
    let mut poll = BusyPoll::new(MOST);
    assert_eq!(poll.window_ns(), 0, "nothing has come yet");
    poll.slept(90_000);
    assert_eq!(poll.window_ns(), MOST / 2);
    poll.slept(90_000);
    assert_eq!(poll.window_ns(), MOST);
    poll.found();
    assert_eq!(poll.window_ns(), MOST);
}

#[test]
fn a_thread_that_looks_in_vain_rests_longer_each_time() {
    let mut poll = BusyPoll::new(MOST);
    let mut looked = 0;
    for _ in 0..1_000 {
        poll.slept(SHORT * MOST);
        looked += poll.window_ns();
    }
    assert!((1..=15 * MOST).contains(&looked), "{looked} ns in a thousand sleeps");
    poll.slept(SHORT * MOST + 1);
    poll.slept(MOST);
    assert_eq!(poll.window_ns(), MOST / FIRST, "a long sleep is another beginning");
}

#[test]
fn a_thread_that_found_something_looks_again_after_a_few_sleeps() {
    let mut poll = BusyPoll::new(MOST);
    for _ in 0..100 {
        while poll.window_ns() < MOST {
            poll.slept(MOST);
        }
        poll.found();
        let mut sleeps = 0;
        poll.slept(MOST);
        while poll.window_ns() == 0 {
            poll.slept(MOST);
            sleeps += 1;
        }
        assert_eq!(sleeps, REST + 1);
    }
}

#[test]
fn a_thread_that_slept_long_looks_no_more() {
    let mut poll = BusyPoll::new(MOST);
    poll.slept(1_000);
    poll.slept(SHORT * MOST + 1);
    assert_eq!(poll.window_ns(), 0);
}

#[test]
fn none_is_allowed_to_look_for_none() {
    let mut poll = BusyPoll::new(0);
    poll.slept(0);
    assert_eq!(poll.window_ns(), 0);
}

proptest! {
    #[test]
    fn nobody_looks_for_longer_than_allowed(most in 0_u64..1_000_000, gaps in prop::collection::vec(any::<u64>(), 0..50)) {
        let mut poll = BusyPoll::new(most);
        for gap in gaps {
            poll.slept(gap);
            prop_assert!(poll.window_ns() <= most);
            prop_assert!(poll.window_ns() == 0 || gap <= SHORT * most);
        }
    }
}
