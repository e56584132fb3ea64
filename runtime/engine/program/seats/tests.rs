//! Places: as many as there are, and one that no call can have.

use super::Seats;

#[test]
fn no_more_are_given_than_there_are_and_what_is_dropped_is_given_again() {
    let seats = Seats::new(2);
    let one = seats.take().unwrap();
    let _other = seats.take().unwrap();
    assert!(seats.take().is_none());
    drop(one);
    assert!(seats.take().is_some());
}

#[test]
fn one_more_is_there_for_what_no_call_waits_for_and_others_of_that_take_what_is_left() {
    let seats = Seats::new(1);
    let spare = seats.take_spare().unwrap();
    let last = seats.take_spare().unwrap();
    assert!(seats.take_spare().is_none() && seats.take().is_none());
    drop(spare);
    assert!(seats.take().is_none(), "it is not for calls");
    assert!(seats.take_spare().is_some());
    drop(last);
    assert!(seats.take().is_some());
}
