//! Ready instances: never more than allowed, none for a guest that cannot start, none for one that nobody calls.

use proptest::prelude::*;

use super::{SOON_MS, Sizing};

#[test]
fn a_missed_call_asks_for_one_more_ready_instance() {
    let mut sizing = Sizing::new(2);
    sizing.called(false, 0);
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
    let mut sizing = Sizing::new(8);
    sizing.called(false, 0);
    sizing.called(false, 0);
    sizing.spawned(false);
    assert_eq!(sizing.target(), 0);
    sizing.called(false, 0);
    assert_eq!(sizing.target(), 0);
    sizing.spawned(true);
    assert_eq!(sizing.target(), 2);
}

#[test]
fn a_program_whose_instances_were_thrown_away_is_still_known_for_its_calls() {
    let mut sizing = Sizing::new(8);
    for _ in 0..3 {
        sizing.called(false, 0);
    }
    sizing.emptied();
    assert_eq!(sizing.target(), 0);
    sizing.called(false, 1);
    assert_eq!(sizing.target(), 1);
}

#[test]
fn a_program_that_is_called_now_and_then_keeps_nothing_ready() {
    let mut sizing = Sizing::new(8);
    for now in (0..20).map(|nth| nth * SOON_MS) {
        sizing.called(false, now);
        assert_eq!(sizing.target(), 0);
        assert!(!sizing.settle(now), "its next call would be taken for its first");
        assert!(sizing.settle(now + SOON_MS));
    }
    sizing.called(false, 20 * SOON_MS - 1);
    assert_eq!(sizing.target(), 1);
}

proptest! {
    #[test]
    fn the_target_is_bounded_and_an_idle_program_ends_with_none(
        most in 0u32..64, calls in proptest::collection::vec(any::<bool>(), 0..200),
    ) {
        let mut sizing = Sizing::new(most);
        for found in calls {
            sizing.called(found, 0);
            prop_assert!(sizing.target() <= most);
        }
        let target = sizing.target();
        sizing.settle(0);
        prop_assert_eq!(sizing.target(), target);
        let mut now = 20_000;
        for _ in 0..8 {
            sizing.settle(now);
            now += 1_000;
        }
        prop_assert_eq!(sizing.target(), 0);
    }
}
