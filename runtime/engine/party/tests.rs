//! Who is greedy and who is not, whoever says so. Must never depend on how fast a machine is.

use std::rc::Rc;

use super::{Parties, Party, Standing};
use crate::host::account::Accounts;

const MS: u64 = 1_000_000;

fn tenants(parties: &Parties) -> (Rc<Party>, Rc<Party>) {
    let accounts = Accounts::unlimited();
    let party = |name: &str| parties.of(&accounts.of(&name.parse().unwrap()));
    (party("one"), party("other"))
}

#[test]
fn what_is_done_for_a_tenant_makes_it_greedy_and_only_what_its_guests_do_makes_it_a_hog() {
    let parties = Parties::default();
    let (one, other) = tenants(&parties);
    let now = 1_000 * MS;
    assert_eq!(parties.standing(&one, now), Standing::Alone);
    assert_eq!(parties.standing(&other, now), Standing::Modest);
    assert_eq!(parties.standing(&one, now), Standing::Modest);
    parties.charge(&one, 3 * MS / 2);
    assert_eq!(parties.standing(&one, now), Standing::NearlyGreedy);
    parties.charge(&one, MS);
    assert_eq!(parties.standing(&one, now), Standing::Greedy);
    assert!(!parties.is_hogging(&one, now));
    parties.charge_guest(&one, 5 * MS);
    assert!(parties.is_hogging(&one, now));
    assert_eq!(parties.charged_ns(), 5 * MS);
    assert_eq!(parties.standing(&other, now), Standing::Modest);
}

#[test]
fn who_uses_more_than_its_part_and_less_than_others_is_not_whom_they_wait_for() {
    let parties = Parties::default();
    let (one, other) = tenants(&parties);
    let mut now = 1_000 * MS;
    // Both use so much of each millisecond, for a while.
    let mut standings = |one_ns, other_ns| {
        let mut last = (Standing::Alone, Standing::Alone);
        for _ in 0..150 {
            now += MS;
            last = (parties.standing(&one, now), parties.standing(&other, now));
            parties.charge(&one, one_ns);
            parties.charge(&other, other_ns);
        }
        last
    };
    assert_eq!(standings(3 * MS / 10, 6 * MS / 10), (Standing::NearlyGreedy, Standing::Greedy));
    assert_eq!(standings(MS / 2, MS / 2), (Standing::Greedy, Standing::Greedy));
}

#[test]
fn a_hog_is_one_until_it_has_paused_for_what_it_used_wherever_that_was() {
    let parties = Parties::default();
    let (one, other) = tenants(&parties);
    let mut now = 1_000 * MS;
    let looks = |now| (parties.is_hogging(&one, now), parties.is_hogging(&other, now));
    assert_eq!((looks(now), looks(now)), ((false, false), (false, false)));
    one.charge_elsewhere(2 * MS + 1);
    assert_eq!(looks(now), (true, false));
    assert_eq!(parties.standing(&one, now), Standing::Modest, "the thread has done nothing for it");
    for _ in 0..7 {
        now += MS;
        assert_eq!(looks(now), (true, false), "less than it may use at once, and not paid for");
    }
    for _ in 0..100 {
        now += 5 * MS;
        one.charge_elsewhere(MS / 2);
        assert_eq!(looks(now), (true, false), "a tenth of the time is more than a fourth of its part");
    }
    assert_eq!(looks(now + 101 * MS), (false, false));
    one.charge_elsewhere(MS);
    assert_eq!(looks(now + 102 * MS), (false, false));
}

#[test]
fn who_has_the_thread_to_itself_is_not_greedy_though_it_makes_new_connections() {
    let parties = Parties::default();
    let (one, other) = tenants(&parties);
    let strangers = parties.strangers();
    assert_eq!(parties.standing(&strangers, MS), Standing::Alone);
    for turn in 1..100 {
        assert_eq!(parties.standing(&one, turn * MS), Standing::Alone);
        parties.charge_guest(&one, MS);
        assert_eq!(parties.standing(&strangers, turn * MS), Standing::Modest, "its tenant is there");
    }
    let now = 100 * MS;
    assert_eq!(parties.standing(&other, now), Standing::Modest, "who comes has used nothing");
    assert_eq!(parties.standing(&one, now), Standing::Greedy);
    parties.charge(&strangers, 5 * MS);
    assert_eq!(parties.standing(&strangers, now), Standing::NearlyGreedy, "its tenant uses more");
    parties.charge(&strangers, 100 * MS);
    assert_eq!(parties.standing(&strangers, now), Standing::Greedy);
}

#[test]
fn a_tenant_that_is_gone_is_forgotten_and_one_that_stays_is_not() {
    let parties = Parties::default();
    let accounts = Accounts::unlimited();
    let (stays, goes) = (accounts.of(&"stays".parse().unwrap()), accounts.of(&"goes".parse().unwrap()));
    let kept = parties.of(&stays);
    drop(parties.of(&goes));
    parties.settle();
    assert_eq!(parties.tenants.borrow().len(), 1);
    assert!(Rc::ptr_eq(&kept, &parties.of(&stays)));
}
