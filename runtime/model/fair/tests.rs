//! Lines by use: nobody is lost, the one who used the least goes first, and nobody saves up.

use proptest::prelude::*;

use super::{Fair, MOST};

const PIECE_NS: u64 = 1_000_000;

#[test]
fn many_short_pieces_do_not_wait_for_a_long_one_each() {
    let mut fair = Fair::new(PIECE_NS);
    for n in 0..4 {
        fair.push(("hog", 1), ("hog", n));
    }
    assert_eq!(fair.take(), Some(("hog", 0)));
    for n in 0..100 {
        fair.push(("good", 1), ("good", n));
    }
    fair.ends(&"hog", 8_000);
    for n in 0..100 {
        assert_eq!(fair.take(), Some(("good", n)), "they use 30 each, 3,000 in all");
        fair.ends(&"good", 30);
    }
    assert_eq!(fair.take(), Some(("hog", 1)));
}

#[test]
fn who_wanted_nothing_for_long_has_saved_nothing() {
    let mut fair = Fair::new(PIECE_NS);
    fair.push(("a", 1), "a");
    for _ in 0..10 {
        assert_eq!(fair.take(), Some("a"));
        fair.push(("a", 1), "a");
        fair.ends(&"a", 100);
    }
    fair.push(("b", 1), "b");
    let mut turns = vec![];
    for _ in 0..8 {
        let served = fair.take().unwrap();
        turns.push(served);
        fair.push((served, 1), served);
        fair.ends(&served, 100);
    }
    assert_eq!(turns, ["a", "b", "a", "b", "a", "b", "a", "b"], "level from where it came in");
}

#[test]
fn leaving_for_a_moment_wipes_out_no_debt() {
    let mut fair = Fair::new(PIECE_NS);
    fair.push(("hog", 1), "hog 1");
    fair.push(("good", 1), "good 1");
    assert_eq!(fair.take(), Some("hog 1"));
    fair.ends(&"hog", 1_000);
    fair.push(("hog", 1), "hog 2");
    for _ in 0..9 {
        fair.push(("good", 1), "good");
    }
    for _ in 0..10 {
        assert!(fair.take().is_some_and(|waiter| waiter.starts_with("good")));
        fair.ends(&"good", 50);
    }
    assert_eq!(fair.take(), Some("hog 2"));
}

#[test]
fn when_nobody_wants_anything_all_is_forgotten() {
    let mut fair = Fair::new(PIECE_NS);
    fair.push(("a", 1), 1);
    let _ = fair.take();
    fair.ends(&"a", u64::MAX);
    assert!(fair.lines.is_empty());
    assert_eq!(fair.floor_ns, 0);
}

#[test]
fn what_was_used_while_nobody_else_wanted_it_is_not_owed_for_ever() {
    let mut fair = Fair::new(PIECE_NS);
    // For a minute one computes alone and the other on seven threads that nobody else wants.
    fair.push(("one", 1), "one");
    assert_eq!(fair.take(), Some("one"));
    for _ in 0..7 {
        fair.push(("seven", 1), "seven");
    }
    for _ in 0..60_000 {
        for _ in 0..7 {
            assert_eq!(fair.take(), Some("seven"));
        }
        for _ in 0..7 {
            fair.push(("seven", 1), "seven");
            fair.ends(&"seven", PIECE_NS);
        }
        fair.push(("one", 1), "one");
        fair.ends(&"one", PIECE_NS);
        assert_eq!(fair.take(), Some("one"));
    }
    // Now the first one wants all eight, too.
    for _ in 0..8 {
        fair.push(("one", 1), "one");
    }
    let (mut used_ns, mut running) = (0, vec!["one"]);
    loop {
        while running.len() < 8 {
            running.push(fair.take().unwrap());
        }
        if running.contains(&"seven") {
            break;
        }
        for party in running.drain(..) {
            used_ns += PIECE_NS;
            fair.push((party, 1), party);
            fair.ends(&party, PIECE_NS);
        }
        assert!(used_ns <= MOST * PIECE_NS + 8 * PIECE_NS, "the other one waits for ever");
    }
}

#[test]
fn nobody_is_given_everything_before_it_counts() {
    let mut fair = Fair::new(PIECE_NS);
    for n in 0..8 {
        fair.push(("a", 1), ("a", n));
    }
    for n in 0..8 {
        fair.push(("b", 2), ("b", n));
    }
    let taken: Vec<_> = (0..6).filter_map(|_| fair.take()).map(|(party, _)| party).collect();
    assert_eq!(taken.iter().filter(|party| **party == "a").count(), 2, "{taken:?}");
}

#[test]
fn a_party_that_is_held_keeps_nobody_back_and_saves_nothing_up() {
    let mut fair = Fair::new(PIECE_NS);
    for party in ["held", "a", "b"] {
        fair.push((party, 1), party);
    }
    let mut had = [("held", 0), ("a", 0), ("b", 0)];
    for step in 0..6_000 {
        // It may go on in one of twenty steps, and then, for a while, always.
        let Some(party) = fair.take_if(|party, _| *party != "held" || step % 20 == 0 || step > 5_400) else {
            panic!("somebody may always go on")
        };
        had.iter_mut().filter(|(name, _)| *name == party).for_each(|(_, pieces)| *pieces += 1);
        fair.ends(&party, PIECE_NS);
        fair.push((party, 1), party);
    }
    let [held, a, b] = had.map(|(_, pieces)| pieces);
    assert!(i32::abs(a - b) <= 2, "{had:?}");
    // Every twentieth step, and a third of the last ones.
    assert!((450..=490).contains(&held), "{had:?}");
}

#[test]
fn whoever_may_go_on_need_not_be_the_first_of_its_line() {
    let mut fair = Fair::new(PIECE_NS);
    for n in [1, 2, 3] {
        fair.push(("a", 1), n);
    }
    assert_eq!(fair.take_if(|_, n| *n == 2), Some(2));
    assert_eq!(fair.waiting().collect::<Vec<_>>(), [&"a"]);
    assert_eq!([fair.take(), fair.take(), fair.take()], [Some(1), Some(3), None]);
    assert_eq!(fair.waiting().count(), 0);
}

proptest! {
    /// Parties that always want something get parts as their weights are, to within one piece each.
    #[test]
    fn shares_are_as_the_weights_are(
        weights in prop::collection::vec(1u32..5, 2..5),
        pieces in prop::collection::vec(1u64..1_000, 500),
    ) {
        let mut fair = Fair::new(PIECE_NS);
        let mut used = vec![0_u64; weights.len()];
        for (party, weight) in weights.iter().enumerate() {
            fair.push((party, *weight), party);
        }
        for took in pieces {
            let party = fair.take().unwrap();
            used[party] += took;
            fair.push((party, weights[party]), party);
            fair.ends(&party, took);
        }
        let over: Vec<u64> = used.iter().zip(&weights).map(|(used, weight)| used / u64::from(*weight)).collect();
        let (least, most) = (over.iter().min().unwrap(), over.iter().max().unwrap());
        // Each piece loses less than one by the division.
        prop_assert!(most - least <= 1_000 + 500, "{over:?}");
    }

    /// Everybody is served exactly once and in the order of its line, with any number of pieces under way at once.
    #[test]
    fn everybody_is_served_once_and_in_order(steps in prop::collection::vec((0u8..3, 0u8..4, 0u64..100), 0..300)) {
        let mut fair = Fair::new(PIECE_NS);
        let (mut pushed, mut served, mut running) = (0, vec![], vec![]);
        for (what, party, took) in steps {
            match what {
                0 => {
                    fair.push((party, 1), (party, pushed));
                    pushed += 1;
                }
                1 => if let Some((party, n)) = fair.take() {
                    served.push((party, n));
                    running.push(party);
                },
                _ => if let Some(party) = running.pop() {
                    fair.ends(&party, took);
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
            fair.ends(&party, 1);
        }
        prop_assert!(fair.lines.is_empty(), "nothing is kept of those who want nothing");
    }
}
