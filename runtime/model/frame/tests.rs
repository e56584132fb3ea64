//! What holds of frames: names are a stranger's.

use proptest::prelude::*;

use super::Frame;

#[test]
fn a_frame_is_a_readable_name_and_a_place() {
    let shown = |name: Option<&str>, offset| Frame::new(name, 17, offset).to_string();
    assert_eq!(shown(Some("_ZN4fail4trap17h0123456789abcdefE"), Some(0x1a2b)), "fail::trap @ 0x1a2b");
    assert_eq!(shown(Some("_RNvC6_123foo3bar"), None), "123foo::bar");
    assert_eq!(shown(Some("plain"), Some(0)), "plain @ 0x0");
    assert_eq!(shown(None, Some(1)), "function 17 @ 0x1");
    assert_eq!(shown(Some("a\x1b[2J\nb"), None), "a\u{fffd}[2J\u{fffd}b");
}

#[test]
fn a_name_that_grows_when_it_is_demangled_is_cut() {
    // Each level doubles what is printed: the whole would be longer than memory.
    let levels = 40;
    let mut name = "_RMC0".to_owned();
    name.push_str("TNtB2_1aB2_");
    for _ in 0..levels {
        name = format!("{name}TB2_B2_");
    }
    assert!(Frame::new(Some(&name), 0, None).to_string().chars().count() <= 121);
    let long = format!("_ZN{}E", "1a".repeat(100));
    assert!(Frame::new(Some(&long), 0, None).to_string().chars().count() <= 121);
}

proptest! {
    #[test]
    fn a_shown_frame_is_bounded_and_harmless(name in "(_R|_ZN|)\\PC{0,300}|.{0,300}") {
        let frame = Frame::new(Some(&name), 1, Some(u64::MAX));
        let shown = frame.to_string();
        prop_assert!(shown.chars().count() <= 121 + " @ 0xffffffffffffffff".len());
        prop_assert!(!shown.contains(char::is_control));
        prop_assert!(frame.bytes() <= size_of::<Frame>() + super::NAME_BYTES);
    }
}
