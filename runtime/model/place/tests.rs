//! What holds of places: paths are a stranger's.

use proptest::prelude::*;

use super::{PLACES, Place, told};

#[test]
fn a_place_is_a_file_and_a_line_and_where_it_was_inlined() {
    assert_eq!(told(&[]), "");
    let (inner, outer) = (Place::new("core/src/option.rs", 967), Place::new("src/lib.rs", 12));
    assert_eq!(told(std::slice::from_ref(&outer)), " at src/lib.rs:12");
    assert_eq!(told(&[inner, outer]), " at core/src/option.rs:967, inlined at src/lib.rs:12");
    assert_eq!(told(&[Place::new("a\x1b[2J\nb", 1)]), " at a\u{fffd}[2J\u{fffd}b:1");
}

#[test]
fn of_a_long_path_the_end_is_kept() {
    let shown = told(&[Place::new(&format!("{}/src/lib.rs", "x".repeat(4_000)), 7)]);
    assert!(shown.starts_with(" at …x") && shown.ends_with("x/src/lib.rs:7"), "{shown}");
    assert_eq!(shown.chars().count(), " at :7".len() + 160);
}

proptest! {
    #[test]
    fn what_is_told_is_bounded_and_harmless(files in prop::collection::vec("\\PC{0,300}|.{0,300}", 0..9)) {
        let places: Vec<_> = files.iter().map(|file| Place::new(file, u32::MAX)).collect();
        let shown = told(&places);
        prop_assert!(shown.chars().count() <= PLACES * (160 + ", inlined at :4294967295".len()));
        prop_assert!(!shown.contains(char::is_control));
        prop_assert_eq!(told(&places), shown, "cut once, cut for good");
    }
}
