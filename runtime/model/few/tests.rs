//! Who begins, who waits, and that nobody is lost on the way.

use std::collections::{BTreeSet, VecDeque};

use proptest::prelude::*;

use super::Few;

#[test]
fn the_first_ones_are_at_it_until_they_end_and_the_next_follow_in_order() {
    let mut few = Few::new(2);
    assert_eq!(
        (few.comes('a', 1), few.comes('a', 2), few.comes('a', 3), few.comes('a', 4)),
        (Some(1), Some(2), None, None)
    );
    assert_eq!(few.comes('b', 5), Some(5), "another party's");
    assert_eq!(few.rests(&'a'), Some(3));
    assert_eq!(few.leaves(&'a', |piece| *piece == 4), Some(4));
    assert_eq!(few.leaves(&'a', |piece| *piece == 4), None);
    assert_eq!((few.rests(&'a'), few.rests(&'a'), few.rests(&'b')), (None, None, None));
    assert!(few.parties.is_empty());
}

#[test]
fn one_that_waited_for_something_goes_on_though_others_began_meanwhile() {
    let mut few = Few::new(1);
    assert_eq!((few.comes('a', 1), few.comes('a', 2), few.comes('a', 3)), (Some(1), None, None));
    assert_eq!(few.rests(&'a'), Some(2));
    few.goes_on('a');
    assert_eq!(few.rests(&'a'), None, "there is one more than may begin");
    assert_eq!(few.rests(&'a'), Some(3));
}

proptest! {
    #[test]
    fn whoever_comes_begins_or_leaves_once_and_no_more_than_may(
        most in 1usize..5, steps in prop::collection::vec((0u8..5, 0u8..3), 1..200),
    ) {
        let mut few = Few::new(most);
        // By party: who is at it, who has paused, who waits.
        let mut known = [(); 3].map(|()| (BTreeSet::new(), BTreeSet::new(), VecDeque::new()));
        for (number, (step, party)) in steps.into_iter().enumerate() {
            let (at_it, paused, waiting) = &mut known[usize::from(party)];
            match step {
                0 | 1 => if let Some(piece) = few.comes(party, number) {
                    prop_assert!(piece == number && at_it.len() < most && at_it.insert(piece));
                } else {
                    prop_assert!(at_it.len() >= most);
                    waiting.push_back(number);
                },
                2 | 3 => if let Some(piece) = at_it.pop_first() {
                    if step == 3 {
                        paused.insert(piece);
                    }
                    let next = few.rests(&party);
                    prop_assert_eq!(next, if at_it.len() < most { waiting.pop_front() } else { None });
                    at_it.extend(next);
                },
                _ => if let Some(piece) = paused.pop_first() {
                    few.goes_on(party);
                    at_it.insert(piece);
                } else if let Some(last) = waiting.pop_back() {
                    prop_assert_eq!(few.leaves(&party, |piece| *piece == last), Some(last));
                },
            }
        }
        for (party, (at_it, _, mut waiting)) in (0u8..).zip(known) {
            let mut at_it = at_it.len();
            while at_it > 0 {
                let next = few.rests(&party);
                at_it = at_it - 1 + usize::from(next.is_some());
                if let Some(next) = next {
                    prop_assert_eq!(Some(next), waiting.pop_front());
                }
            }
            prop_assert!(waiting.is_empty());
        }
        prop_assert!(few.parties.is_empty());
    }
}
