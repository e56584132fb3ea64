//! Who is on: not who gets next to nothing, and nobody for a moment's sake.

use proptest::prelude::*;

use super::{Roster, Shift, Slice, WINDOW_NS};

const MS: u64 = 1_000_000;

/// One thread whose slices come one after the other.
#[derive(Default)]
struct Thread {
    roster: Roster,
    now_ns: u64,
}

impl Thread {
    fn does(&mut self, shift: Shift, used_ns: u64, took_ns: u64) -> Shift {
        self.in_a_crowd(1, shift, used_ns, took_ns)
    }

    fn in_a_crowd(&mut self, crowd: u64, shift: Shift, used_ns: u64, took_ns: u64) -> Shift {
        self.now_ns += took_ns;
        let before = self.roster.on();
        let changed = self.roster.worked(shift, Slice { used_ns, took_ns, crowd }, self.now_ns);
        assert_eq!(changed, self.roster.on() != before);
        self.roster.on()
    }
}

#[test]
fn who_starves_is_relieved_and_comes_back_when_there_is_enough_for_all() {
    let mut thread = Thread::default();
    assert_eq!(thread.does(Shift::Yielding, MS / 2, 19 * MS), Shift::Yielding, "a moment is nothing");
    assert_eq!(thread.does(Shift::Yielding, 0, 40 * MS), Shift::Relief);
    // A tenth is what the relief has where others want everything.
    for _ in 0..1_000 {
        assert_eq!(thread.does(Shift::Relief, MS, 10 * MS), Shift::Relief);
    }
    for _ in 0..20 {
        thread.does(Shift::Relief, MS, MS + MS / 10);
    }
    assert_eq!(thread.roster.on(), Shift::Yielding);
}

#[test]
fn what_many_threads_take_at_once_is_a_moment_too() {
    let mut roster = Roster::default();
    for _ in 0..64 {
        assert!(!roster.worked(Shift::Yielding, Slice { used_ns: 0, took_ns: MS, crowd: 1 }, MS));
    }
}

#[test]
fn more_threads_than_cores_starve_nobody_by_being_many() {
    let mut thread = Thread::default();
    for _ in 0..1_000 {
        assert_eq!(thread.in_a_crowd(32, Shift::Yielding, MS, 32 * MS), Shift::Yielding);
    }
}

#[test]
fn what_began_before_a_change_says_nothing_of_who_is_on_now() {
    let mut thread = Thread::default();
    assert_eq!(thread.does(Shift::Yielding, 0, WINDOW_NS), Shift::Relief);
    assert_eq!(thread.does(Shift::Yielding, WINDOW_NS, WINDOW_NS), Shift::Relief);
}

proptest! {
    /// A shift with a share that suits it stays on, however its slices come.
    #[test]
    fn nobody_changes_who_has_what_it_should(slices in prop::collection::vec((1..5 * MS, 4..15_u64), 1..400)) {
        let (mut yielding, mut relief) = (Thread::default(), Thread::default());
        relief.roster.on = Shift::Relief;
        for (used, part) in slices {
            prop_assert_eq!(yielding.does(Shift::Yielding, used, used * part), Shift::Yielding);
            prop_assert_eq!(relief.does(Shift::Relief, used, used * part), Shift::Relief);
        }
    }

    /// However it went before, a window or two of starving is the end of it.
    #[test]
    fn starving_is_seen_whatever_was_before(slices in prop::collection::vec((1..5 * MS, 1..100_u64), 0..50)) {
        let mut thread = Thread::default();
        for (used, part) in slices {
            thread.does(thread.roster.on(), used, used * part);
        }
        for _ in 0..2 * WINDOW_NS / MS {
            thread.does(Shift::Yielding, MS / 100, MS);
        }
        prop_assert_eq!(thread.roster.on(), Shift::Relief);
    }
}
