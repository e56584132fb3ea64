//! What holds of an audience.

use super::*;

#[test]
fn who_calls_now_and_then_is_none() {
    assert!(!is_there(0, 0));
    assert!(!is_there(9, 100_000_000));
    assert!(is_there(10, 100_000_000));
    assert!(!is_there(99, 1_000_000_000));
    assert!(is_there(100, 1_000_000_000));
}

#[test]
fn it_is_looked_at_now_and_then_and_counts_what_was_answered_since() {
    let mut audience = Audience::default();
    assert!(!audience.look(LOOK_NS - 1, || unreachable!("too soon")));
    assert!(audience.look(LOOK_NS, || 1_000));
    assert!(audience.look(2 * LOOK_NS - 1, || unreachable!("too soon")), "it stays what it was");
    assert!(!audience.look(2 * LOOK_NS, || 1_009), "nine more");
    assert!(audience.look(3 * LOOK_NS, || 1_019));
}
