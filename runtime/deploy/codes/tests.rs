//! Whatever is held is found and is one; whatever is not is gone, and leaves next to nothing behind.

use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::{Common, FEW};

#[derive(Clone, Debug)]
enum Step {
    Load(u16),
    Drop(u16),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![3 => (0u16..400).prop_map(Step::Load), 2 => (0u16..400).prop_map(Step::Drop)];
    proptest::collection::vec(step, 0..1_000)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_value_is_there_once_and_for_as_long_as_it_is_held(steps in steps()) {
        let common = Common::<u16, u64>::default();
        let mut held: HashMap<u16, Arc<u64>> = HashMap::new();
        for (nth, step) in (0u64..).zip(steps) {
            match step {
                Step::Load(key) => {
                    let found = common.get(&key);
                    prop_assert_eq!(found.is_some(), held.contains_key(&key));
                    let kept = common.keep(key, Arc::new(nth));
                    let first = held.entry(key).or_insert_with(|| kept.clone());
                    prop_assert!(Arc::ptr_eq(first, &kept));
                }
                Step::Drop(key) => drop(held.remove(&key)),
            }
            prop_assert_eq!(common.count(), held.len());
            prop_assert!(common.lock().weak.len() <= FEW.max(2 * 400));
        }
        drop(held);
        prop_assert_eq!(common.count(), 0);
    }
}

#[test]
fn what_is_loaded_and_dropped_again_and_again_leaves_no_trail() {
    let common = Common::<u32, u32>::default();
    for key in 0..10_000 {
        drop(common.keep(key, Arc::new(key)));
    }
    assert!(common.lock().weak.len() <= FEW);
}
