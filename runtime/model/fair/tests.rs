//! Lines by use: nobody is lost, the one who used the least goes first, and nobody saves up.

use proptest::prelude::*;

use super::Fair;

#[test]
fn many_short_pieces_do_not_wait_for_a_long_one_each() {
    let mut fair = Fair::default();
    for n in 0..4 {
        fair.push("hog", ("hog", n));
    }
    assert_eq!(fair.take(), Some(("hog", 0)));
    for n in 0..100 {
        fair.push("good", ("good", n));
    }
    fair.ends(&"hog", 8_000, 1);
    for n in 0..100 {
        assert_eq!(fair.take(), Some(("good", n)), "they use 30 each, 3,000 in all");
        fair.ends(&"good", 30, 1);
    }
    assert_eq!(fair.take(), Some(("hog", 1)));
}

#[test]
fn who_wanted_nothing_for_long_has_saved_nothing() {
    let mut fair = Fair::default();
    fair.push("a", "a");
    for _ in 0..10 {
        assert_eq!(fair.take(), Some("a"));
        fair.push("a", "a");
        fair.ends(&"a", 100, 1);
    }
    fair.push("b", "b");
    let mut turns = vec![];
    for _ in 0..8 {
        let served = fair.take().unwrap();
        turns.push(served);
        fair.push(served, served);
        fair.ends(&served, 100, 1);
    }
    assert_eq!(turns, ["a", "b", "a", "b", "a", "b", "a", "b"], "level from where it came in");
}

#[test]
fn leaving_for_a_moment_wipes_out_no_debt() {
    let mut fair = Fair::default();
    fair.push("hog", "hog 1");
    fair.push("good", "good 1");
    assert_eq!(fair.take(), Some("hog 1"));
    fair.ends(&"hog", 1_000, 1);
    fair.push("hog", "hog 2");
    for _ in 0..9 {
        fair.push("good", "good");
    }
    for _ in 0..10 {
        assert!(fair.take().is_some_and(|waiter| waiter.starts_with("good")));
        fair.ends(&"good", 50, 1);
    }
    assert_eq!(fair.take(), Some("hog 2"));
}

#[test]
fn when_nobody_wants_anything_all_is_forgotten() {
    let mut fair = Fair::default();
    fair.push("a", 1);
    let _ = fair.take();
    fair.ends(&"a", u64::MAX, 1);
    assert!(fair.lines.is_empty());
    assert_eq!(fair.floor, 0);
}

proptest! {
    /// Parties that always want something get parts as their weights are, to within one piece each.
    #[test]
    fn shares_are_as_the_weights_are(
        weights in prop::collection::vec(1u32..5, 2..5),
        pieces in prop::collection::vec(1u64..1_000, 500),
    ) {
        let mut fair = Fair::default();
        let mut used = vec![0_u64; weights.len()];
        for party in 0..weights.len() {
            fair.push(party, party);
        }
        for took in pieces {
            let party = fair.take().unwrap();
            used[party] += took;
            fair.push(party, party);
            fair.ends(&party, took, weights[party]);
        }
        let over: Vec<u64> = used.iter().zip(&weights).map(|(used, weight)| used / u64::from(*weight)).collect();
        let (least, most) = (over.iter().min().unwrap(), over.iter().max().unwrap());
        // Each piece loses less than one by the division.
        prop_assert!(most - least <= 1_000 + 500, "{over:?}");
    }

    /// Everybody is served exactly once and in the order of its line, with any number of pieces under way at once.
    #[test]
    fn everybody_is_served_once_and_in_order(steps in prop::collection::vec((0u8..3, 0u8..4, 0u64..100), 0..300)) {
        let mut fair = Fair::default();
        let (mut pushed, mut served, mut running) = (0, vec![], vec![]);
        for (what, party, took) in steps {
            match what {
                0 => {
                    fair.push(party, (party, pushed));
                    pushed += 1;
                }
                1 => if let Some((party, n)) = fair.take() {
                    served.push((party, n));
                    running.push(party);
                },
                _ => if let Some(party) = running.pop() {
                    fair.ends(&party, took, 1);
                },
            }
        }
        while let Some((party, n)) = fair.take() {
            served.push((party, n));
            running.push(party);
        }
        prop_assert_eq!(served.len(), pushed);
        for party in 0..4 {
            prop_assert!(served.iter().filter(|(own, _)| *own == party).map(|(_, n)| n).is_sorted());
        }
        for party in running {
            fair.ends(&party, 1, 1);
        }
        prop_assert!(fair.lines.is_empty(), "nothing is kept of those who want nothing");
    }
}
