//! Accounts: one for each tenant, never beyond the budget, and back to zero.

use std::sync::Arc;

use super::{Accounts, Budget, Pressure};
use crate::settings::Quotas;

fn accounts(most: u64) -> Arc<Accounts> {
    Accounts::new(Quotas::default(), Budget::new(most))
}

#[test]
fn a_tenant_has_one_account_while_anybody_holds_it() {
    let accounts = accounts(100);
    let name = "acme".parse().unwrap();
    let first = accounts.of(&name);
    assert!(Arc::ptr_eq(&first, &accounts.of(&name)));
    drop(first);
    assert!(accounts.all().is_empty());
}

#[test]
fn pressure_rises_at_85_and_95_percent_and_nothing_goes_beyond_all() {
    let accounts = accounts(1_000);
    let account = accounts.of(&"acme".parse().unwrap());
    assert!(account.grow(849) && accounts.budget().pressure() == Pressure::Low);
    assert!(account.grow(1) && accounts.budget().pressure() == Pressure::High);
    let other = accounts.of(&"other".parse().unwrap());
    assert!(!account.may_spawn() && other.may_spawn(), "who has nothing may, who has most may not");
    assert!(other.grow(100) && accounts.budget().pressure() == Pressure::Full);
    assert!(!other.may_spawn());
    assert!(other.grow(50) && !other.grow(1));
    account.shrink(850);
    other.shrink(150);
    assert_eq!((accounts.budget().used(), account.bytes(), other.bytes()), (0, 0, 0));
}

#[test]
fn whatever_threads_do_at_once_the_budget_holds_and_ends_at_zero() {
    let accounts = accounts(1_000);
    std::thread::scope(|scope| {
        for n in 0..4 {
            let account = accounts.of(&format!("t{}", n % 2).parse().unwrap());
            scope.spawn(move || {
                for step in 0..5_000_u64 {
                    let bytes = step * 7 % 400;
                    if account.grow(bytes) {
                        // Others may be asking for more than there is just now, and take that back.
                        assert!(account.bytes() <= 1_000);
                        account.shrink(bytes);
                    }
                }
            });
        }
    });
    assert_eq!(accounts.budget().used(), 0);
}
