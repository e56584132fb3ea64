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
    one.charge(3 * MS / 2);
    assert_eq!(parties.standing(&one, now), Standing::NearlyGreedy);
    one.charge(MS);
    assert_eq!(parties.standing(&one, now), Standing::Greedy);
    assert!(!parties.is_hogging(&one, now));
    parties.charge_guest(&one, 5 * MS);
    assert!(parties.is_hogging(&one, now));
    assert_eq!(parties.charged_ns(), 5 * MS);
    assert_eq!(parties.standing(&other, now), Standing::Modest);
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
    strangers.charge(5 * MS);
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
