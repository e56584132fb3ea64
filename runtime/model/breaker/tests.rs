//! Breakers: they open when they should, let one probe through at a time, and never stay open for ever.

use proptest::prelude::*;

use super::{Breaker, Pass, Phase, Rules};

const RULES: fn() -> Rules = Rules::default;

fn opened(rules: &Rules) -> Breaker {
    let mut breaker = Breaker::default();
    while !breaker.failed(rules, 0, 0) {}
    breaker
}

#[test]
fn ten_failures_in_a_row_open_it_and_nine_do_not() {
    let mut breaker = Breaker::default();
    assert!((0..9).all(|now| !breaker.failed(&RULES(), now, 0)));
    assert_eq!(breaker.enter(&RULES(), 9), Ok(Pass::Free));
    assert!(breaker.failed(&RULES(), 9, 0));
    assert_eq!(breaker.enter(&RULES(), 10), Err(999));
}

#[test]
fn one_success_breaks_a_row() {
    let mut breaker = Breaker::default();
    for now in 0..24 {
        assert!(!breaker.failed(&RULES(), now, u64::from(now % 9 == 0)), "{now}");
    }
}

#[test]
fn half_of_at_least_fifty_open_it() {
    let mut breaker = Breaker::default();
    let failures = (1..1_000).find(|now| breaker.failed(&RULES(), *now, 1));
    // The first one is not after a success of this window, so the share is above half from then on.
    assert_eq!(failures, Some(26));
    let mut breaker = Breaker::default();
    assert!((0..1_000).all(|now| !breaker.failed(&RULES(), now, 2)), "a third is not half");
}

#[test]
fn what_is_past_does_not_count() {
    let mut breaker = Breaker::default();
    assert!((0..1_000).all(|turn| !breaker.failed(&RULES(), turn * 500, 1)));
    assert!(!breaker.calm(&RULES(), 499_600));
    assert!(breaker.calm(&RULES(), 510_000));
}

#[test]
fn it_stays_open_twice_as_long_after_each_probe_that_failed_up_to_a_bound() {
    let mut breaker = opened(&RULES());
    let mut now = 0;
    for wait in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
        assert_eq!(breaker.phase(), Phase::Open { until_ms: now + wait * 1_000 });
        now += wait * 1_000;
        assert_eq!(breaker.enter(&RULES(), now), Ok(Pass::Probe));
        assert!(!breaker.probed(&RULES(), now, Some(false)));
    }
}

#[test]
fn a_probe_that_goes_well_closes_it_and_forgets_everything() {
    let mut breaker = opened(&RULES());
    assert_eq!(breaker.enter(&RULES(), 1_000), Ok(Pass::Probe));
    assert!(breaker.probed(&RULES(), 1_001, Some(true)));
    assert!((0..9).all(|now| !breaker.failed(&RULES(), 1_002 + now, 0)));
}

#[test]
fn a_probe_that_says_nothing_makes_way_for_the_next() {
    let mut breaker = opened(&RULES());
    assert_eq!(breaker.enter(&RULES(), 1_000), Ok(Pass::Probe));
    assert!(breaker.enter(&RULES(), 1_001).is_err());
    assert!(!breaker.probed(&RULES(), 1_002, None));
    assert_eq!(breaker.enter(&RULES(), 1_002), Ok(Pass::Probe));
}

#[test]
fn a_probe_that_never_ends_keeps_nobody_out_for_ever() {
    let mut breaker = opened(&RULES());
    assert_eq!(breaker.enter(&RULES(), 1_000), Ok(Pass::Probe));
    assert!(breaker.enter(&RULES(), 60_999).is_err());
    assert_eq!(breaker.enter(&RULES(), 61_000), Ok(Pass::Probe));
}

#[test]
fn a_request_from_before_it_opened_changes_nothing() {
    let mut breaker = opened(&RULES());
    let before = breaker.phase();
    assert!(!breaker.failed(&RULES(), 500, 0));
    assert!(!breaker.probed(&RULES(), 500, Some(true)));
    assert_eq!(breaker.phase(), before);
}

proptest! {
    #[test]
    fn whatever_happens_one_probe_at_a_time_gets_in_and_a_refusal_says_when(
        steps in proptest::collection::vec((0u64..5_000, 0u8..5, 0u64..20), 1..300),
    ) {
        let rules = RULES();
        let (mut breaker, mut now, mut probe) = (Breaker::default(), 0, None);
        for (passes, what, good) in steps {
            now += passes;
            match what {
                0 | 1 => drop(breaker.failed(&rules, now, good)),
                2 => drop(breaker.calm(&rules, now)),
                3 => if probe.take().is_some() {
                    breaker.probed(&rules, now, [None, Some(true), Some(false)][(good % 3) as usize]);
                },
                _ => match breaker.enter(&rules, now) {
                    Ok(Pass::Free) => prop_assert_eq!(breaker.phase(), Phase::Closed),
                    Ok(Pass::Probe) => {
                        // Only one that took longer than anybody should wait is given up.
                        prop_assert!(probe.is_none_or(|began| now - began >= rules.backoff_max_ms));
                        probe = Some(now);
                    }
                    Err(wait) => {
                        prop_assert!(wait > 0 && wait <= rules.backoff_max_ms);
                        prop_assert_ne!(breaker.phase(), Phase::Closed);
                    }
                },
            }
            if breaker.phase() == Phase::Closed {
                probe = None;
            }
        }
        // Left alone for long enough, the next request gets in, and heals it.
        now += rules.backoff_max_ms;
        if breaker.enter(&rules, now) == Ok(Pass::Probe) {
            prop_assert!(breaker.probed(&rules, now, Some(true)));
        }
        prop_assert_eq!(breaker.phase(), Phase::Closed);
    }

    #[test]
    fn fewer_failures_than_the_share_and_the_row_never_open_it(
        runs in proptest::collection::vec((0u64..2_000, 1u64..10), 1..300),
    ) {
        let (mut breaker, mut now) = (Breaker::default(), 0);
        for (passes, failures) in runs {
            now += passes;
            for n in 0..failures {
                // Twice as many go well before each run as fail in it.
                let good = if n == 0 { failures * 2 } else { 0 };
                prop_assert!(!breaker.failed(&RULES(), now, good));
            }
        }
    }
}
