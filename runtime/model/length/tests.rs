//! What is long and for how long it stays so.

use proptest::prelude::*;

use super::{Length, NOTHING_NS, SHORT_NS};

fn calls(of: u32, cpu_ns: u64, length: &Length) -> bool {
    (0..of).for_each(|_| length.took(cpu_ns));
    length.is_long()
}

#[test]
fn a_version_is_long_from_its_first_long_call_on_until_many_were_short() {
    let length = Length::default();
    assert!(!length.is_long());
    assert!(!calls(1_000, SHORT_NS, &length));
    assert!(calls(1, 6 * SHORT_NS, &length));
    assert!(calls(20, NOTHING_NS / 2, &length), "one in twenty keeps it long");
    assert!(!calls(30, NOTHING_NS / 2, &length));
    assert!(!calls(100, NOTHING_NS / 2, &length));
    assert_eq!(length.0.into_inner(), 0);
}

proptest! {
    #[test]
    fn it_is_never_longer_than_the_longest_nor_short_right_after_a_long_one(
        calls in prop::collection::vec(0..u64::MAX, 1..64),
    ) {
        let length = Length::default();
        for call in &calls {
            length.took(*call);
            prop_assert!(length.is_long() || *call <= SHORT_NS);
        }
        prop_assert!(length.0.into_inner() <= *calls.iter().max().unwrap());
    }
}
