//! Who is greedy and who is not, whoever says so. Must never depend on how fast a machine is.

use std::rc::Rc;

use super::{Parties, Party};
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
    for party in [&one, &other, &one] {
        assert!(!parties.is_greedy(party, now));
    }
    one.charge(5 * MS);
    assert!(one.is_nearly_greedy(now));
    assert!(parties.is_greedy(&one, now) && !parties.is_hogging(&one, now));
    parties.charge_guest(&one, 5 * MS);
    assert!(parties.is_hogging(&one, now));
    assert_eq!(parties.charged_ns(), 5 * MS);
    assert!(!other.is_nearly_greedy(now) && !parties.is_greedy(&other, now));
}

#[test]
fn who_has_the_thread_to_itself_is_not_greedy() {
    let parties = Parties::default();
    let (one, _) = tenants(&parties);
    for turn in 1..100 {
        assert!(!parties.is_greedy(&one, turn * MS));
        parties.charge_guest(&one, MS);
    }
    assert!(!parties.is_greedy(&parties.strangers(), 100 * MS), "who comes then has used nothing");
    assert!(parties.is_greedy(&one, 100 * MS));
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
