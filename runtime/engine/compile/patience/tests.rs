//! What is read of a process. Must never depend on how fast a machine is.

use std::time::Instant;

use super::used;

#[test]
fn what_a_process_has_used_is_read() {
    let own = || used(std::process::id()).expect("this one's");
    let (before, began) = (own(), Instant::now());
    while began.elapsed().as_secs() < 60 && own() < before + 3 {}
    assert!(own() >= before + 3);
    assert_eq!(used(u32::MAX), None);
}
