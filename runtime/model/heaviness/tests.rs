//! How many short calls it takes to be believed. Must never depend on when a test runs.

use proptest::prelude::*;

use super::{DOUBLED, DOUBT, Expected, FORGIVEN, Heaviness, ONE, PARDONED, PROOF, State};

fn is_heavy(of: &Heaviness) -> bool {
    of.expected() != Expected::Light
}

/// Short calls until it counts as light.
fn proof(of: &Heaviness) -> u64 {
    let mut calls = 0;
    while is_heavy(of) {
        of.was_light();
        calls += 1;
    }
    calls
}

/// One that has been called often and was never heavy.
fn light() -> Heaviness {
    let it = Heaviness::default();
    it.was_light();
    it
}

#[test]
fn a_new_version_has_to_show_one_short_call() {
    let new = Heaviness::default();
    assert!(is_heavy(&new));
    assert_eq!(proof(&new), 1);
    new.was_light();
    assert!(!is_heavy(&new));
}

#[test]
fn one_surprise_in_many_calls_is_pardoned() {
    let it = light();
    for turn in 1..10 {
        it.surprised(turn * PARDONED);
        assert_eq!(it.expected(), Expected::Light);
    }
}

#[test]
fn two_surprises_in_a_few_calls_are_doubted_for_a_few_only() {
    let it = light();
    for turn in 1..10 {
        it.surprised(turn * FORGIVEN);
        it.surprised(turn * FORGIVEN + 1);
        assert_eq!(it.expected(), Expected::Doubtful);
        assert_eq!(proof(&it), DOUBT);
    }
}

#[test]
fn who_surprises_sooner_than_is_pardoned_is_doubted_at_once() {
    let it = light();
    it.surprised(PARDONED - 1);
    assert_eq!(it.expected(), Expected::Doubtful);
}

#[test]
fn who_surprises_again_and_again_is_believed_later_each_time() {
    let (it, mut calls) = (light(), 10 * FORGIVEN);
    it.surprised(calls);
    for doubled in 1..=DOUBLED + 3 {
        calls += ONE;
        it.surprised(calls);
        assert_eq!(proof(&it), DOUBT << doubled.min(DOUBLED));
    }
    it.surprised(calls + FORGIVEN);
    it.surprised(calls + FORGIVEN);
    assert_eq!(proof(&it), DOUBT);
}

#[test]
fn calls_that_surprise_together_are_one_surprise() {
    let it = light();
    for calls in 0..ONE {
        it.surprised(10 * FORGIVEN + calls / 16);
    }
    assert_eq!(proof(&it), DOUBT);
}

#[test]
fn who_is_heavy_when_that_is_expected_proves_it() {
    let it = Heaviness::default();
    for _ in 0..1_000 {
        it.was_heavy();
        assert!(is_heavy(&it));
    }
    assert_eq!(proof(&it), PROOF);
}

#[test]
fn who_is_only_doubted_is_told_from_who_was_heavy_when_that_was_expected() {
    let it = Heaviness::default();
    assert_eq!(it.expected(), Expected::New);
    assert!(it.was_light(), "from now on it counts as light");
    assert_eq!(it.expected(), Expected::Light);
    assert!(!it.was_light());
    it.surprised(FORGIVEN);
    it.surprised(FORGIVEN);
    assert_eq!(it.expected(), Expected::Doubtful);
    it.was_heavy();
    assert_eq!(it.expected(), Expected::Heavy);
    it.surprised(FORGIVEN + 1);
    assert_eq!(it.expected(), Expected::Heavy);
    assert_eq!(proof(&it), PROOF);
    it.surprised(FORGIVEN + 2);
    assert_eq!(it.expected(), Expected::Doubtful, "it was light in between");
}

#[test]
fn one_that_surprised_in_its_first_call_is_never_taken_for_one_that_nobody_called() {
    for calls in [0, 1, 1 << 32] {
        let it = Heaviness::default();
        it.surprised(calls);
        for left in (1..=DOUBT).rev() {
            assert_eq!(it.expected(), Expected::Doubtful, "{left} to go");
            assert_eq!(it.was_light(), left == 1);
        }
        assert_eq!(it.expected(), Expected::Light);
    }
}

proptest! {
    #[test]
    fn what_is_packed_is_what_was_there(
        to_go in 0..=PROOF << DOUBLED, surprises in 0..=DOUBLED, known: bool, at in 0..=u64::from(u32::MAX)
    ) {
        let state = State { to_go, surprises, known, at };
        prop_assert_eq!(State::unpack(state.pack()), state);
    }

    #[test]
    fn after_a_heavy_call_nothing_but_short_ones_make_it_light(kinds in prop::collection::vec(0..20_u8, 0..400)) {
        let (it, mut in_a_row) = (Heaviness::default(), 0);
        for (calls, kind) in kinds.into_iter().enumerate() {
            match (kind, is_heavy(&it)) {
                (0, false) => it.surprised(calls as u64),
                (0, true) => it.was_heavy(),
                _ => drop(it.was_light()),
            }
            in_a_row = if kind == 0 { 0 } else { in_a_row + 1 };
            prop_assert!(kind != 0 || is_heavy(&it));
            prop_assert!(is_heavy(&it) || in_a_row >= 1);
        }
        prop_assert!(proof(&it) <= PROOF << DOUBLED);
    }
}
