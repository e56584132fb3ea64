//! Lines: served in turns, bounded, and nobody is served twice or lost.

use proptest::prelude::*;

use super::Turns;

#[test]
fn a_long_line_does_not_keep_a_short_one_waiting() {
    let mut turns = Turns::new((100, 50));
    for n in 0..50 {
        assert!(turns.push("hog", n).is_some());
    }
    assert!(turns.push("hog", 50).is_none(), "a line is bounded");
    assert!(turns.push("good", 100).is_some());
    let served: Vec<_> = std::iter::from_fn(|| turns.next(|_| true)).take(4).collect();
    assert_eq!(served, [0, 100, 1, 2]);
}

#[test]
fn who_may_not_be_served_is_passed_over_and_keeps_its_place() {
    let mut turns = Turns::new((10, 10));
    turns.push("a", 1);
    turns.push("b", 2);
    assert_eq!(turns.next(|party| *party == "b"), Some(2));
    assert_eq!(turns.next(|party| *party == "b"), None);
    assert_eq!(turns.first(|waiter| *waiter == 1), Some(1));
    assert!(turns.is_empty());
}

proptest! {
    #[test]
    fn everybody_is_served_once_or_leaves(steps in proptest::collection::vec((0u8..4, 0u8..4), 0..200)) {
        let mut turns = Turns::new((20, 8));
        let (mut tickets, mut inside) = (Vec::new(), Vec::new());
        for (n, (what, party)) in steps.into_iter().enumerate() {
            match what {
                0 | 1 => match turns.push(party, n) {
                    Some(ticket) => {
                        tickets.push((ticket, n));
                        inside.push((party, n));
                    }
                    None => prop_assert!(inside.len() == 20 || inside.iter().filter(|(own, _)| *own == party).count() == 8),
                },
                2 => match turns.next(|own| *own != party) {
                    Some(served) => {
                        let first = inside.iter().find(|(own, _)| {
                            *own == inside.iter().find(|(_, n)| *n == served).unwrap().0
                        });
                        prop_assert_eq!(first.unwrap().1, served, "a line is served in order");
                        inside.retain(|(_, n)| *n != served);
                    }
                    None => prop_assert!(inside.iter().all(|(own, _)| *own == party)),
                },
                _ => if let Some((ticket, n)) = tickets.pop() {
                    let was_in = inside.iter().any(|(_, own)| *own == n);
                    prop_assert_eq!(turns.leave(ticket), was_in.then_some(n));
                    inside.retain(|(_, own)| *own != n);
                },
            }
            prop_assert_eq!(turns.is_empty(), inside.is_empty());
        }
    }
}

proptest! {
    /// Between two turns of a party that waits all the while, every other party has at most one.
    #[test]
    fn no_party_has_two_turns_while_another_waits(jobs in prop::collection::vec(0u64..6, 1..200)) {
        let mut turns = Turns::new((usize::MAX, usize::MAX));
        for party in &jobs {
            turns.push(*party, *party);
        }
        let served: Vec<u64> = std::iter::from_fn(|| turns.next(|_| true)).collect();
        prop_assert_eq!(served.len(), jobs.len());
        for party in 0..6 {
            let at: Vec<usize> = (0..served.len()).filter(|i| served[*i] == party).collect();
            for pair in at.windows(2) {
                let between = &served[pair[0] + 1..pair[1]];
                for other in 0..6 {
                    prop_assert!(between.iter().filter(|s| **s == other).count() <= 1);
                }
            }
        }
    }

    /// Nobody is lost, and waiters of one party keep their order.
    #[test]
    fn waiters_of_one_party_keep_their_order(jobs in prop::collection::vec((0u64..4, any::<bool>()), 1..200)) {
        let mut turns = Turns::new((usize::MAX, usize::MAX));
        let mut served = Vec::new();
        for (number, (party, pop)) in jobs.iter().enumerate() {
            turns.push(*party, (*party, number));
            if *pop {
                served.extend(turns.next(|_| true));
            }
        }
        served.extend(std::iter::from_fn(|| turns.next(|_| true)));
        prop_assert_eq!(served.len(), jobs.len());
        for party in 0..4 {
            let of: Vec<usize> = served.iter().filter(|(g, _)| *g == party).map(|(_, n)| *n).collect();
            prop_assert!(of.is_sorted());
        }
    }
}
