//! Who is held back, and who is not. Must never depend on when a test runs.

use proptest::prelude::*;

use super::{Allowance, BURST_NS, Company, PART, RECENTLY_NS};

const MS: u64 = 1_000_000;

#[test]
fn who_uses_less_than_its_part_is_never_held_back() {
    let mut tenant = Allowance::default();
    for turn in 1..10_000 {
        let now = turn * MS;
        assert!(!tenant.is_spent(now, 1));
        tenant.charge(MS / PART, now, 1);
    }
}

#[test]
fn who_uses_twice_its_part_is_held_back_until_it_has_paused() {
    let mut tenant = Allowance::default();
    let mut now = MS;
    while !tenant.is_spent(now, 1) {
        tenant.charge(2 * MS / PART, now, 1);
        now += MS;
        assert!(now < 100 * MS);
    }
    now += 20 * MS;
    assert!(!tenant.is_spent(now, 1));
}

#[test]
fn a_burst_after_a_pause_is_let_through() {
    let mut tenant = Allowance::default();
    tenant.charge(BURST_NS, 1_000 * MS, 1);
    assert!(!tenant.is_spent(1_000 * MS, 1));
    tenant.charge(1, 1_000 * MS, 1);
    assert!(tenant.is_spent(1_000 * MS, 1));
}

#[test]
fn who_is_alone_is_alone_however_often_it_comes() {
    let mut company = Company::default();
    assert!(!company.is_there(1));
    for turn in 1..1_000 {
        assert!(!company.enters(7, turn * MS));
    }
    assert!(company.enters(8, 1_000 * MS), "the other one was there just now");
    assert!(company.enters(7, 1_001 * MS));
    assert!(company.enters(7, 1_002 * MS));
    assert!(!company.enters(7, 1_002 * MS + RECENTLY_NS), "and is gone");
    assert!(
        company.is_there(1_002 * MS + 2 * RECENTLY_NS) && !company.is_there(1_003 * MS + 2 * RECENTLY_NS)
    );
}

proptest! {
    #[test]
    fn of_two_who_do_the_same_the_one_with_more_weight_is_never_held_back_sooner(
        weight in 1..100_u32, used in prop::collection::vec(0..3 * MS, 1..100)
    ) {
        let (mut one, mut other) = (Allowance::default(), Allowance::default());
        for (turn, used) in (1..).zip(used) {
            let now = turn * MS;
            one.charge(used, now, weight);
            other.charge(used, now, weight + 1);
            prop_assert!(one.is_spent(now, weight) || !other.is_spent(now, weight + 1));
        }
    }

    #[test]
    fn company_is_whoever_else_came_recently(all in prop::collection::vec((0..4_usize, 1..30_u64), 1..200)) {
        let mut company = Company::default();
        let (mut now, mut came): (u64, Vec<(usize, u64)>) = (0, Vec::new());
        for (who, later) in all {
            now += later * MS;
            let others = came.iter().any(|(other, at)| *other != who && now - at <= RECENTLY_NS);
            prop_assert_eq!(company.enters(who, now), others);
            came.push((who, now));
        }
    }
}
