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
    poll.slept(90_000);
    assert_eq!(poll.window_ns(), MOST);
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
            prop_assert_eq!(poll.window_ns() == 0, most == 0 || gap > SHORT * most || most / FIRST == 0);
        }
    }
}
