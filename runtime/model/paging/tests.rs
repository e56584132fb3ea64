//! What holds of who takes new memory.

use proptest::prelude::*;

use super::*;

const MS: u64 = 1_000_000;
/// A page a microsecond.
const RATE: u64 = PAGE * 1_000_000;

#[test]
fn a_party_that_takes_much_waits_until_it_is_paid_and_others_do_not() {
    let mut paging = Paging::new(RATE);
    paging.took("hog", 400, MS);
    assert!(paging.takes_much(&"hog"));
    assert_eq!(paging.paid_ns(), MS + 400_000);
    paging.took("other", 20, 2 * MS);
    assert!(!paging.takes_much(&"other"));
    assert!(!paging.takes_much(&"nobody"));
}

#[test]
fn a_party_that_takes_no_more_is_like_any_other_after_some_slices() {
    let mut paging = Paging::new(RATE);
    (1..=20).for_each(|slice| paging.took("hog", 400, slice * MS));
    assert!(paging.takes_much(&"hog"));
    (21..=60).for_each(|slice| paging.took("hog", 0, slice * MS));
    assert!(!paging.takes_much(&"hog"));
    paging.took("other", 0, 60 * MS + GONE_NS);
    assert!(paging.parties.is_empty(), "who has gone is forgotten");
}

#[test]
fn a_party_that_takes_much_in_every_fifth_slice_takes_much_in_all_of_them() {
    let mut paging = Paging::new(RATE);
    for slice in 1..=100 {
        paging.took("hog", if slice % 5 == 0 { 400 } else { 0 }, slice * MS);
        assert!(slice < 50 || paging.takes_much(&"hog"), "slice {slice}");
    }
}

#[test]
fn where_pages_are_free_or_nobody_is_there_nothing_is_owed() {
    let mut paging = Paging::new(0);
    assert!(!paging.counts());
    paging.took("hog", 400, MS);
    assert_eq!(paging.paid_ns(), MS);
    let mut paging = Paging::new(RATE);
    assert!(paging.counts());
    paging.took("hog", 400, MS);
    paging.forget();
    assert_eq!((paging.paid_ns(), paging.takes_much(&"hog")), (0, false));
}

proptest! {
    #[test]
    fn what_is_owed_is_bounded_and_as_many_pages_as_the_pace_has_it_are_taken(
        slices in prop::collection::vec((0_u8..4, 0_u64..5_000), 1..200),
    ) {
        let mut paging = Paging::new(RATE);
        let (mut now_ns, mut waited, mut all) = (1, 0, 0);
        for (party, pages) in slices {
            // Who takes much waits; what it takes is at most what a slice can.
            if paging.takes_much(&party) && paging.paid_ns() > now_ns {
                waited += paging.paid_ns() - now_ns;
                now_ns = paging.paid_ns();
            }
            now_ns += MS;
            paging.took(party, pages, now_ns);
            all += pages;
            prop_assert!(paging.paid_ns() <= now_ns + MOST_NS);
            prop_assert!(paging.parties.len() <= 4);
        }
        prop_assert!(waited <= all * 1_000, "nobody waits for longer than was taken");
    }
}
