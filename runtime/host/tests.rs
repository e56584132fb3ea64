//! What is thrown away with a store must not take anything else along.

use super::*;

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("a destructor");
    }
}

#[test]
fn a_panic_of_a_destructor_ends_at_the_state() {
    let log = GuestLog::new("default/f".to_owned());
    let account = super::account::Accounts::unlimited().of(&"acme".parse().unwrap());
    let grant = Grant { variables: Arc::new([]), memory_bytes: 1, table_elements: 1, log, account };
    let mut state = HostState::new(&grant, Arc::default());
    let kept = Arc::new(());
    state.ctx().table.push(Bomb).unwrap();
    state.ctx().table.push(kept.clone()).unwrap();
    drop(state);
    assert_eq!(Arc::strong_count(&kept), 1, "the others are dropped all the same");
}
