//! The coldest go first, whole, and what is hot stays.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::{HOT_NS, coldest};

proptest! {
    #[test]
    fn the_coldest_groups_go_whole_and_no_hot_one(
        all in proptest::collection::vec((0u8..20, 0u64..10 * HOT_NS), 0..100),
        now in 0u64..12 * HOT_NS,
        groups in 0usize..25,
    ) {
        let numbered = all.iter().enumerate().map(|(nth, (group, used))| (*group, *used, nth));
        let gone: HashSet<usize> = coldest(numbered, now, groups).into_iter().collect();
        let mut warmth: HashMap<u8, u64> = HashMap::new();
        for (group, used) in &all {
            let warmest = warmth.entry(*group).or_default();
            *warmest = (*warmest).max(*used);
        }
        let went: HashSet<u8> = gone.iter().map(|nth| all[*nth].0).collect();
        let is_cold = |used: u64| now.saturating_sub(used) > HOT_NS;
        let cold = warmth.values().filter(|used| is_cold(**used)).count();
        prop_assert_eq!(went.len(), cold.min(groups));
        for (nth, (group, _)) in all.iter().enumerate() {
            prop_assert_eq!(gone.contains(&nth), went.contains(group));
        }
        for one in &went {
            prop_assert!(is_cold(warmth[one]));
            let colder_that_stay =
                warmth.iter().filter(|(group, used)| !went.contains(*group) && **used < warmth[one]);
            prop_assert_eq!(colder_that_stay.count(), 0);
        }
    }
}
