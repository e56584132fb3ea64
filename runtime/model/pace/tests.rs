//! How many go on: their part of the time, and no burst beyond it.

use proptest::prelude::*;

use super::{AT_A_TIME_NS, AT_ONCE, MOST_NS, PART, Pace};

const US: u64 = 1_000;

#[test]
fn where_others_want_little_one_goes_on_at_a_time() {
    let mut pace = Pace::default();
    for _ in 0..1_000 {
        assert_eq!(pace.pieces(), 1);
        pace.went(1, 30 * US, 60 * US);
    }
}

#[test]
fn pieces_that_take_no_time_are_bounded_too() {
    let mut pace = Pace::default();
    for _ in 0..100 {
        pace.went(1, 1, u64::MAX);
    }
    assert_eq!(pace.pieces(), AT_ONCE);
}

proptest! {
    /// However long the others take each time, those that take turns come to their part, and to no more than that and one
    /// piece each time; at once to no more than one piece that begins within a moment, or within their part of the time before.
    #[test]
    fn they_have_their_part_of_a_thread_that_is_full(
        piece in 20 * US..200 * US, others in prop::collection::vec(10 * US..400 * US, 1..400)
    ) {
        let mut pace = Pace::default();
        let (mut used, mut rest, mut before, times) = (0, 0, 0, others.len() as u64);
        for took in others {
            let pieces = pace.pieces();
            let now = piece * pieces as u64;
            prop_assert!(now <= piece + AT_A_TIME_NS.max(before / PART), "{pieces} at once");
            before = took;
            pace.went(pieces, now, now + took);
            (used, rest) = (used + now, rest + took);
        }
        prop_assert!(used + MOST_NS + before / PART + piece >= rest / PART, "{used} beside {rest}");
        prop_assert!(used <= rest / PART + times * piece, "{used} beside {rest}");
    }
}
