//! How many short calls it takes to be believed. Must never depend on when a test runs.

use proptest::prelude::*;

use super::{DOUBLED, FORGIVEN_S, Heaviness, PROOF, State};

/// Short calls until it counts as light.
fn proof(of: &Heaviness) -> u64 {
    let mut calls = 0;
    while of.is_heavy() {
        of.was_light();
        calls += 1;
    }
    calls
}

#[test]
fn a_new_version_has_to_show_one_short_call() {
    let new = Heaviness::default();
    assert!(new.is_heavy());
    assert_eq!(proof(&new), 1);
    new.was_light();
    assert!(!new.is_heavy());
}

#[test]
fn who_surprises_again_and_again_is_believed_later_each_time() {
    let it = Heaviness::default();
    assert_eq!(proof(&it), 1);
    // The first time long after nothing is forgiven; those that follow within a minute are not.
    it.was_heavy(1_000);
    assert_eq!(proof(&it), PROOF);
    for doubled in 1..=DOUBLED + 3 {
        it.was_heavy(1_000 + doubled);
        assert_eq!(proof(&it), PROOF << doubled.min(DOUBLED));
    }
    it.was_heavy(1_100 + FORGIVEN_S);
    assert_eq!(proof(&it), PROOF);
}

#[test]
fn who_is_always_heavy_surprises_nobody() {
    let it = Heaviness::default();
    for second in 0..1_000 {
        it.was_heavy(second);
        assert!(it.is_heavy());
    }
    assert_eq!(proof(&it), PROOF);
}

proptest! {
    #[test]
    fn what_is_packed_is_what_was_there(to_go in 0..=PROOF << DOUBLED, surprises in 0..=DOUBLED, last_s in 0..=u64::from(u32::MAX)) {
        let state = State { to_go, surprises, last_s };
        prop_assert_eq!(State::unpack(state.pack()), state);
    }

    #[test]
    fn after_a_heavy_call_nothing_but_short_ones_make_it_light(
        calls in prop::collection::vec((any::<bool>(), 0..100_u64), 0..200)
    ) {
        let (it, mut now, mut in_a_row) = (Heaviness::default(), 0, 0);
        for (heavy, later) in calls {
            now += later;
            if heavy {
                it.was_heavy(now);
                in_a_row = 0;
            } else {
                it.was_light();
                in_a_row += 1;
            }
            prop_assert!(!heavy || it.is_heavy());
            prop_assert!(it.is_heavy() || in_a_row >= 1);
        }
        prop_assert!(proof(&it) <= PROOF << DOUBLED);
    }
}
