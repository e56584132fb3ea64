//! How much is read at once.

use proptest::prelude::*;

use super::{LARGEST, LONG_NS, Portion, SHORT_NS, SMALLEST};

#[test]
fn where_bytes_take_long_fewer_are_read_at_once_until_they_do_not() {
    let mut portion = Portion::default();
    assert_eq!(portion.bytes(), SMALLEST, "of who is new nobody knows");
    (0..9).for_each(|_| portion.took(SHORT_NS - 1, true));
    assert_eq!(portion.bytes(), LARGEST);
    for bytes in [LARGEST / 2, LARGEST / 4] {
        portion.took(LONG_NS + 1, true);
        assert_eq!(portion.bytes(), bytes);
    }
    // A turn that read little says nothing of what much would take.
    portion.took(SHORT_NS - 1, false);
    portion.took(LONG_NS, true);
    assert_eq!(portion.bytes(), LARGEST / 4);
    (0..9).for_each(|_| portion.took(LONG_NS + 1, false));
    assert_eq!(portion.bytes(), SMALLEST);
}

proptest! {
    #[test]
    fn it_is_never_nothing_and_never_more_than_the_largest(turns: Vec<(u64, bool)>) {
        let mut portion = Portion::default();
        for (ns, all) in turns {
            portion.took(ns, all);
            prop_assert!((SMALLEST..=LARGEST).contains(&portion.bytes()));
        }
    }
}
