//! Shares: alone most of it, together as much as the others, and always a place for who has none.

use proptest::prelude::*;

use super::{PATIENCE_MS, STANDING_MS, may_grow, may_take, patience_ms};

/// Everybody takes in turns until nobody may any more.
fn saturate(held: &mut [u64], weights: &[u32], all: u64) {
    loop {
        let mut took = false;
        for n in 0..held.len() {
            let free = all - held.iter().sum::<u64>();
            if may_take(held[n], free, all, weights[n]) {
                held[n] += 1;
                took = true;
            }
        }
        if !took {
            return;
        }
    }
}

#[test]
fn alone_a_tenant_gets_most_but_not_all() {
    for (all, most) in [(1, 1), (2, 1), (3, 2), (4, 3), (10, 8), (100, 80), (500, 400)] {
        let mut held = [0];
        saturate(&mut held, &[1], all);
        assert_eq!(held[0], most, "of {all}");
    }
}

#[test]
fn of_those_that_come_one_after_the_other_and_end_nothing_each_gets_half_of_what_is_left() {
    let (all, mut held) = (500, vec![]);
    for _ in 0..8 {
        let (before, mut own) = (held.iter().sum::<u64>(), 0);
        while may_take(own, all - before - own, all, 1) {
            own += 1;
        }
        held.push(own);
    }
    assert_eq!(held, [400, 50, 25, 12, 6, 3, 2, 1]);
}

#[test]
fn a_heavier_tenant_gets_more() {
    assert!(!may_take(400, 100, 500, 1) && may_take(400, 100, 500, 2));
    let mut held = [0];
    saturate(&mut held, &[3], 1_000);
    assert_eq!(held, [875], "an eighth is for others");
}

#[test]
fn who_holds_little_may_grow_while_there_is_anything() {
    let all = 1_600;
    assert!(may_grow(1, 0, all, 1) && may_grow(100, 0, all, 1) && !may_grow(101, 0, all, 1));
    assert!(may_grow(1_280, 320, all, 1) && !may_grow(1_281, 319, all, 1));
    assert!(may_grow(400, 100, all, 1) && !may_grow(396, 99, all, 1), "what is kept is not theirs");
    let large = 16 << 30;
    assert!(may_grow(128 << 20, 0, large, 1) && !may_grow(129 << 20, 0, large, 1));
}

#[test]
fn a_standing_queue_is_not_worth_waiting_in() {
    assert_eq!(patience_ms(1_000, 1_000), PATIENCE_MS);
    assert_eq!(patience_ms(1_100, 1_000), PATIENCE_MS);
    assert_eq!(patience_ms(1_101, 1_000), STANDING_MS);
}

proptest! {
    #[test]
    fn hogs_that_came_together_leave_a_newcomer_its_place(all in 2u64..2_000, hogs in 1usize..40) {
        prop_assume!((hogs as u64) < all);
        let (mut held, weights) = (vec![0; hogs], vec![1; hogs]);
        saturate(&mut held, &weights, all);
        let free = all - held.iter().sum::<u64>();
        prop_assert!(may_take(0, free, all, 1), "{held:?} of {all}");
        let (least, most) = (held.iter().min().unwrap(), held.iter().max().unwrap());
        prop_assert!(most - least <= 4, "{held:?}");
    }

    #[test]
    fn one_hog_whose_calls_end_makes_room_for_as_many_as_come(
        all in 8u64..500, others in 1usize..6, seed in any::<u64>(),
    ) {
        // It came first and took all it could; the others come one by one, as greedy as it is.
        let mut held = vec![0; others + 1];
        saturate(&mut held[..1], &[1], all);
        let mut random = seed | 1;
        for _ in 0..all * 50 {
            // A call ends, anybody's, and everybody asks for more.
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let n = (random >> 33) as usize % held.len();
            held[n] = held[n].saturating_sub(1);
            let asks = (random >> 40) as usize;
            for turn in 0..held.len() {
                let n = (turn + asks) % held.len();
                let free = all - held.iter().sum::<u64>();
                if may_take(held[n], free, all, 1) {
                    held[n] += 1;
                }
            }
        }
        prop_assert!(held.iter().all(|own| *own > 0), "{held:?} of {all}");
    }

    #[test]
    fn nobody_who_has_something_takes_the_last(own in 1u64..1_000, all in 1u64..1_000, weight in 0u32..1_000) {
        prop_assert!(!may_take(own, 1, all, weight) && !may_take(own, 0, all, weight));
    }
}
