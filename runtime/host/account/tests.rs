//! Accounts: one for each tenant, never beyond the budget, and back to zero.

use std::sync::Arc;

use super::{Accounts, Budget};
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
fn alone_a_tenant_has_four_fifths_and_nothing_is_made_ahead_before_that() {
    let accounts = accounts(1_000);
    let account = accounts.of(&"acme".parse().unwrap());
    assert!(account.grow(749) && !accounts.budget().is_short());
    assert!(account.grow(1) && accounts.budget().is_short());
    assert!(account.grow(50) && !account.grow(1) && !account.may_spawn());
    let other = accounts.of(&"other".parse().unwrap());
    assert!(other.may_spawn() && other.grow(100), "who has nothing may");
    assert!(other.grow(30) && !other.grow(40), "the last sixteenth is for those that hold little");
    let newcomer = accounts.of(&"newcomer".parse().unwrap());
    assert!(newcomer.may_spawn() && newcomer.grow(62) && !newcomer.grow(1));
    account.shrink(800);
    other.shrink(130);
    newcomer.shrink(62);
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
