//! What holds of turns.

use proptest::prelude::*;

use super::{Group, Turns};

proptest! {
    /// Between two turns of a group that waits all the while, every other group has at most one.
    #[test]
    fn no_group_has_two_turns_while_another_waits(jobs in prop::collection::vec(0u64..6, 1..200)) {
        let mut turns = Turns::default();
        for group in &jobs {
            turns.push(Group(*group), *group);
        }
        let served: Vec<u64> = std::iter::from_fn(|| turns.pop()).collect();
        prop_assert_eq!(served.len(), jobs.len());
        for group in 0..6 {
            let at: Vec<usize> = (0..served.len()).filter(|i| served[*i] == group).collect();
            for pair in at.windows(2) {
                let between = &served[pair[0] + 1..pair[1]];
                for other in 0..6 {
                    prop_assert!(between.iter().filter(|s| **s == other).count() <= 1);
                }
            }
        }
    }

    /// Nobody is lost, and calls of one group keep their order.
    #[test]
    fn calls_of_one_group_keep_their_order(jobs in prop::collection::vec((0u64..4, any::<bool>()), 1..200)) {
        let mut turns = Turns::default();
        let mut served = Vec::new();
        for (number, (group, pop)) in jobs.iter().enumerate() {
            turns.push(Group(*group), (*group, number));
            if *pop {
                served.extend(turns.pop());
            }
        }
        served.extend(std::iter::from_fn(|| turns.pop()));
        prop_assert_eq!(served.len(), jobs.len());
        for group in 0..4 {
            let of: Vec<usize> = served.iter().filter(|(g, _)| *g == group).map(|(_, n)| *n).collect();
            prop_assert!(of.is_sorted());
        }
    }
}
