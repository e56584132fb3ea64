//! What is due after which compilation.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;

use super::*;

#[test]
fn who_compiles_while_nobody_is_answered_goes_on_at_once() {
    assert_eq!(rest_after(Duration::from_millis(100), 0), Duration::ZERO);
    assert_eq!(rest_after(Duration::from_millis(100), 9), Duration::ZERO);
    assert_eq!(rest_after(Duration::from_hours(1), 1_000), Duration::ZERO);
}

#[test]
fn who_compiles_beside_others_has_a_quarter_of_the_time() {
    assert_eq!(rest_after(Duration::from_millis(100), 10), Duration::from_millis(300));
    assert_eq!(rest_after(Duration::from_secs(30), 10_000), MOST);
}

#[test]
fn what_was_answered_before_is_not_counted() {
    let answered = Arc::new(AtomicU64::new(1_000_000));
    let counted = answered.clone();
    let rests = Rests::of(Arc::new(move || counted.load(Ordering::Relaxed)));
    let effort = rests.begin();
    assert_eq!(effort.rest(), Duration::ZERO);
    answered.fetch_add(1_000_000, Ordering::Relaxed);
    assert!(effort.rest() > Duration::ZERO);
}

proptest! {
    #[test]
    fn a_rest_is_bounded_and_never_shorter_for_more_that_were_answered(
        took in 0_u64..10_000_000_000,
        answered in any::<[u64; 2]>(),
    ) {
        let rest = |answered| rest_after(Duration::from_micros(took), answered);
        let [less, more] = [answered[0].min(answered[1]), answered[0].max(answered[1])];
        prop_assert!(rest(less) <= rest(more));
        prop_assert!(rest(more) <= MOST);
        prop_assert!(rest(more) <= 3 * Duration::from_micros(took));
    }
}
