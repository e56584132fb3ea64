//! What holds of the budget.

use proptest::prelude::*;

use super::{COST, RetryBudget, START};

proptest! {
    /// However calls fail, retries are a fifth of them and what it started with.
    #[test]
    fn retries_are_a_fifth_of_the_calls(failed in prop::collection::vec(any::<bool>(), 0..2_000)) {
        let budget = RetryBudget::default();
        let mut retries = 0;
        for (calls, failed) in (1..).zip(failed) {
            budget.earn();
            if failed && budget.spend() {
                retries += 1;
            }
            prop_assert!(retries <= START + calls / COST);
        }
    }
}

#[test]
fn the_first_call_may_be_retried() {
    assert!(RetryBudget::default().spend());
}
