//! Tests of `text.rs`. They must never need a host.

use super::{Decimal, push_json};

fn json(text: &str) -> String {
    let mut out = String::new();
    push_json(&mut out, text);
    out
}

#[test]
fn a_decimal_reads_like_the_standard_library_writes_it() {
    for number in [0, 1, 9, 10, 99, 4096, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
        assert_eq!(Decimal::new(number).as_bytes(), number.to_string().as_bytes());
    }
}

#[test]
fn a_json_string_escapes_what_it_must_and_leaves_the_rest() {
    assert_eq!(json("plain é ✓"), "\"plain é ✓\"");
    assert_eq!(json("a\"b\\c\nd"), r#""a\"b\\c\nd""#);
    assert_eq!(json("\u{1}\u{1f}\r"), r#""\u0001\u001f\u000d""#);
}
