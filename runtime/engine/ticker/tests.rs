//! What holds of the watchdog.

use super::{STUCK, is_stuck};

#[test]
fn a_thread_at_rest_is_never_stuck() {
    assert!(!is_stuck(0, u64::MAX));
}

#[test]
fn a_thread_is_stuck_when_it_is_at_the_same_poll_for_too_long() {
    assert!(!is_stuck(5, 5));
    assert!(!is_stuck(5, 4 + STUCK));
    assert!(is_stuck(5, 5 + STUCK));
}
