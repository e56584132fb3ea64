//! What the kernel tells of a thread's pages.

use super::*;

#[test]
fn the_faults_stand_behind_a_name_that_may_be_anything() {
    assert_eq!(faults(b"1 (a) b) 9) R 1 2 3 4 5 6 77 8 9"), Some(77));
    assert_eq!(faults(b"1 (a) R 1 2"), None);
    assert_eq!(faults(b""), None);
}

#[test]
fn each_page_that_is_written_first_is_counted_on_the_thread_that_wrote_it() {
    let taken = TakenPages::of_this_thread();
    let before = taken.count().unwrap();
    // More than an allocator keeps at hand.
    let memory = vec![0_u8; 64 << 20];
    let mut written = std::hint::black_box(memory);
    written.iter_mut().step_by(4_096).for_each(|byte| *byte = 1);
    std::hint::black_box(&written);
    let after = taken.count().unwrap();
    assert!(after >= before + 8_000, "{before}, {after}");
    let other = std::thread::spawn(|| TakenPages::of_this_thread().count()).join().unwrap().unwrap();
    assert!(other < 8_000, "{other}");
}
