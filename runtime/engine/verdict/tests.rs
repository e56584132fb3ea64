//! What holds of causes: the first one is kept, and no frame is.

use wasmtime::Error;

use super::{DETAIL, causes};

#[test]
fn the_first_cause_is_told_and_the_engines_frames_are_not() {
    let frames = format!("error while executing at wasm backtrace:\n{}", "    0: 0x1234 - m!f\n".repeat(40));
    let error = Error::msg("a host function refused").context("while it was called").context(frames);
    assert_eq!(causes(&error), "while it was called: a host function refused");
}

#[test]
fn what_was_said_on_the_way_goes_before_the_cause_does() {
    let error = Error::msg("the cause").context("x".repeat(DETAIL));
    assert_eq!(causes(&error), "the cause");
    let long = Error::msg("y\n".repeat(DETAIL));
    let told = causes(&long);
    assert_eq!((told.chars().count(), told.contains('\n')), (DETAIL, false));
}
