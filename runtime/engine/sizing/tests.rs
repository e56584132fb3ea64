//! Ready instances: never more than allowed, none for a guest that cannot start, none for one that nobody calls.

use proptest::prelude::*;

use super::Sizing;

#[test]
fn a_missed_call_asks_for_one_more_ready_instance() {
    let mut sizing = Sizing::new(2, 0);
    assert_eq!(sizing.target(), 0);
    for want in [1, 2, 2] {
        sizing.called(false, 1);
        assert_eq!(sizing.target(), want);
    }
    sizing.called(true, 1);
    assert_eq!(sizing.target(), 2);
}

#[test]
fn a_guest_that_cannot_start_is_not_started_ahead_until_a_call_has() {
    let mut sizing = Sizing::new(8, 0);
    sizing.called(false, 0);
    sizing.spawned(false);
    assert_eq!(sizing.target(), 0);
    sizing.called(false, 0);
    assert_eq!(sizing.target(), 0);
    sizing.spawned(true);
    assert_eq!(sizing.target(), 2);
}

proptest! {
    #[test]
    fn the_target_is_bounded_and_an_idle_program_ends_with_none(
        most in 0u32..64, calls in proptest::collection::vec(any::<bool>(), 0..200),
    ) {
        let mut sizing = Sizing::new(most, 0);
        for found in calls {
            sizing.called(found, 0);
            prop_assert!(sizing.target() <= most);
        }
        prop_assert!(sizing.settle(0) == (sizing.target() == 0));
        let mut now = 20_000;
        for _ in 0..8 {
            sizing.settle(now);
            now += 1_000;
        }
        prop_assert_eq!(sizing.target(), 0);
    }
}
