//! What is remembered, and for how long.

use proptest::prelude::*;

use super::{Lately, WINDOW_NS};

#[test]
fn it_is_remembered_for_one_window_at_least_and_two_at_most() {
    let mut lately = Lately::default();
    assert!(lately.add(3, WINDOW_NS));
    assert!(!lately.add(4, 2 * WINDOW_NS - 1));
    assert_eq!((lately.sum(2 * WINDOW_NS - 1), lately.most(2 * WINDOW_NS - 1)), (7, 7));
    assert!(lately.add(1, 2 * WINDOW_NS));
    assert_eq!((lately.sum(3 * WINDOW_NS - 1), lately.most(3 * WINDOW_NS - 1)), (8, 7));
    assert_eq!((lately.sum(3 * WINDOW_NS), lately.sum(4 * WINDOW_NS)), (1, 0));
}

proptest! {
    #[test]
    fn no_more_is_remembered_than_there_was_since_two_windows_ago(
        steps in prop::collection::vec((0..WINDOW_NS, 0u64..100), 1..50),
    ) {
        let (mut lately, mut now, mut all) = (Lately::default(), 0, vec![]);
        for (passed, more) in steps {
            now += passed;
            lately.add(more, now);
            all.push((now, more));
            let since = |windows: u64| -> u64 {
                all.iter().filter(|(at, _)| at / WINDOW_NS + windows > now / WINDOW_NS).map(|(_, more)| more).sum()
            };
            prop_assert_eq!(lately.sum(now), since(2));
            prop_assert!(lately.most(now) >= since(1) && lately.most(now) <= since(2));
        }
    }
}
