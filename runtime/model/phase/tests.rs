//! Phases that are in order are all of a request's time, whatever it went through.

use proptest::prelude::*;

use super::*;

#[test]
fn a_call_that_is_made_twice_spends_its_first_attempt_in_guests() {
    let marks = Marks { began: 100, routed: 200, load_ns: 0, admitted: 300, again: 1_000 };
    let laps = marks.laps(GuestTimes::spawned(1_050), 1_500);
    assert_eq!((laps.of(Phase::Spawn), laps.of(Phase::Guest)), (50, 1_150));
    assert_eq!(laps.total(), 1_400);
}

#[test]
fn what_a_guest_waits_for_its_turns_is_neither_its_start_nor_its_own() {
    let marks = Marks { began: 0, routed: 10, load_ns: 0, admitted: 100, again: 0 };
    let all = |guest: GuestTimes| marks.laps(guest, 1_000).reached().map(|(_, ns)| ns).collect::<Vec<_>>();
    let guest = GuestTimes { spawned_ns: 300, first_turns_ns: 150, turns_ns: 550 };
    assert_eq!(all(guest), [10, 90, 50, 550, 300]);
    let not_yet = GuestTimes { spawned_ns: 0, first_turns_ns: 0, turns_ns: 800 };
    assert_eq!(all(not_yet), [10, 90, 100, 800]);
}

#[test]
fn a_load_is_told_apart_from_waiting_and_only_where_there_was_one() {
    let cold = Marks { began: 0, routed: 10, load_ns: 500, admitted: 600, again: 0 };
    let laps = cold.laps(GuestTimes::spawned(700), 1_000);
    let all: Vec<_> = laps.reached().map(|(phase, ns)| (phase.as_str(), ns)).collect();
    assert_eq!(all, [("route", 10), ("queue", 90), ("load", 500), ("spawn", 100), ("guest", 300)]);
    let warm = Marks { load_ns: 0, ..cold };
    assert!(warm.laps(GuestTimes::spawned(700), 1_000).reached().all(|(phase, _)| phase != Phase::Load));
}

#[test]
fn a_request_that_waited_in_vain_says_for_how_long() {
    let marks = Marks { began: 1_000, routed: 2_000, ..Marks::default() };
    assert_eq!(marks.laps(GuestTimes::spawned(0), 102_000).of(Phase::Queue), 100_000);
}

proptest! {
    #[test]
    fn the_phases_of_any_request_add_up_to_its_time(
        began in 1..10_000_000_u64, steps in proptest::array::uniform5(1..100_000_000_u64),
        load in 0..200_000_000_u64, reached in 0..4_u8, twice: bool,
    ) {
        let [a, b, c, d, e] = steps;
        let mut marks = Marks { began, load_ns: load, ..Marks::default() };
        let (mut at, mut spawned) = (began, 0);
        if reached > 0 {
            at += a;
            marks.routed = at;
        }
        if reached > 1 {
            at += b;
            marks.admitted = at;
            if twice {
                at += c;
                marks.again = at;
            }
        }
        if reached > 2 {
            at += d;
            spawned = at;
        }
        let now = at + e;
        let guest = GuestTimes { spawned_ns: spawned, first_turns_ns: b, turns_ns: b + c };
        let laps = marks.laps(guest, now);
        prop_assert_eq!(laps.total(), now - began);
        let us: u64 = laps.reached_us().map(|(_, us)| us).sum();
        prop_assert_eq!(us, (now - began) / 1_000);
    }
}
