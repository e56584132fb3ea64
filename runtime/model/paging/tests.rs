//! What holds of who takes new memory.

use proptest::prelude::*;

use super::*;

const MS: u64 = 1_000_000;
/// A page a microsecond.
const RATE: u64 = PAGE * 1_000_000;

#[test]
fn a_party_that_takes_more_than_all_may_waits_for_what_it_took_and_others_for_nothing() {
    let mut paging = Paging::new(RATE);
    paging.took(("hog", 1), 10_000, MS);
    assert_eq!(paging.due_ns(&"hog"), MS + 10 * MS - FREE_NS);
    paging.took(("other", 1), 20, 2 * MS);
    assert!(paging.due_ns(&"other") <= 2 * MS);
    assert_eq!(paging.due_ns(&"nobody"), 0);
}

#[test]
fn small_slices_cost_as_much_as_large_ones() {
    let mut paging = Paging::new(RATE);
    (0..1_000).for_each(|slice| paging.took(("hog", 1), 10, slice));
    assert!(paging.due_ns(&"hog") >= 10 * MS - FREE_NS);
}

#[test]
fn those_that_owe_at_the_same_time_share_by_weight() {
    let mut paging = Paging::new(RATE);
    paging.took(("light", 1), 20_000, 0);
    paging.took(("heavy", 3), 3_000, 0);
    // A quarter of the pace is the light one's, three quarters the other one's.
    assert_eq!(paging.due_ns(&"heavy"), 4 * MS - FREE_NS.min(4 * MS));
    let before = paging.due_ns(&"light");
    paging.took(("light", 1), 1_000, 0);
    assert_eq!(paging.due_ns(&"light") - before, 4 * MS);
}

#[test]
fn who_has_paid_is_forgotten_and_nobody_waits_for_longer_than_the_most() {
    let mut paging = Paging::new(RATE);
    paging.took(("hog", 1), u64::MAX, MS);
    assert_eq!(paging.due_ns(&"hog"), MS + MOST_NS - FREE_NS);
    paging.took(("other", 1), 0, MS + MOST_NS);
    assert!(paging.debtors.is_empty());
}

#[test]
fn where_pages_are_free_or_nobody_is_there_nothing_is_owed() {
    let mut paging = Paging::new(0);
    assert!(!paging.counts());
    paging.took(("hog", 1), 400_000, MS);
    assert!(!paging.forget());
    let mut paging = Paging::new(RATE);
    assert!(paging.counts());
    paging.took(("hog", 1), 400_000, MS);
    assert!(paging.forget());
    assert_eq!(paging.due_ns(&"hog"), 0);
}

proptest! {
    #[test]
    fn together_they_take_no_more_than_the_pace_has_it_and_what_is_free(
        slices in prop::collection::vec((0_u8..4, 0_u64..2_000), 1..300),
    ) {
        let mut paging = Paging::new(RATE);
        let (mut now_ns, mut all) = (1, 0);
        for (party, pages) in slices {
            // Whoever may not go on waits, and so does, here, everybody else.
            now_ns = now_ns.max(paging.due_ns(&party)) + MS;
            paging.took((party, 1), pages, now_ns);
            all += pages;
            prop_assert!(paging.due_ns(&party) <= now_ns + MOST_NS);
            prop_assert!(paging.debtors.len() <= 4);
        }
        // Each of the four has what is free, and a slice, before it waits.
        prop_assert!(all * 1_000 <= now_ns + 4 * (FREE_NS + 2 * MS) * 4, "{all} pages in {now_ns} ns");
    }
}
