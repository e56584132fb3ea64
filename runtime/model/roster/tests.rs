//! Who is on: not who gets next to nothing, and nobody for a moment's sake.

use proptest::prelude::*;

use super::{Roster, Shift, WINDOW_NS};

const MS: u64 = 1_000_000;

#[test]
fn who_starves_is_relieved_and_comes_back_when_there_is_enough_for_all() {
    let mut roster = Roster::default();
    roster.worked(Shift::Yielding, MS, 19 * MS);
    assert_eq!(roster.on(), Shift::Yielding, "a moment is nothing");
    roster.worked(Shift::Yielding, 0, 40 * MS);
    assert_eq!(roster.on(), Shift::Relief);
    // A tenth is what the relief has where others want everything.
    for _ in 0..1_000 {
        roster.worked(Shift::Relief, MS, 10 * MS);
        assert_eq!(roster.on(), Shift::Relief);
    }
    for _ in 0..20 {
        roster.worked(Shift::Relief, MS, MS + MS / 10);
    }
    assert_eq!(roster.on(), Shift::Yielding);
}

#[test]
fn what_began_before_a_change_says_nothing_of_who_is_on_now() {
    let mut roster = Roster::default();
    roster.worked(Shift::Yielding, 0, WINDOW_NS);
    assert_eq!(roster.on(), Shift::Relief);
    roster.worked(Shift::Yielding, WINDOW_NS, WINDOW_NS);
    assert_eq!(roster.on(), Shift::Relief);
}

proptest! {
    /// A shift with a share that suits it stays on, however its slices come.
    #[test]
    fn nobody_changes_who_has_what_it_should(slices in prop::collection::vec((1..5 * MS, 2..8_u64), 1..400)) {
        let (mut yielding, mut relief) = (Roster::default(), Roster { on: Shift::Relief, ..Roster::default() });
        for (used, part) in slices {
            yielding.worked(Shift::Yielding, used, used * part);
            relief.worked(Shift::Relief, used, used * part);
            prop_assert_eq!((yielding.on(), relief.on()), (Shift::Yielding, Shift::Relief));
        }
    }

    /// However it went before, a window or two of starving is the end of it.
    #[test]
    fn starving_is_seen_whatever_was_before(slices in prop::collection::vec((1..5 * MS, 1..100_u64), 0..50)) {
        let mut roster = Roster::default();
        for (used, part) in slices {
            roster.worked(roster.on(), used, used * part);
        }
        for _ in 0..2 * WINDOW_NS / MS {
            roster.worked(Shift::Yielding, MS / 100, MS);
        }
        prop_assert_eq!(roster.on(), Shift::Relief);
    }
}
