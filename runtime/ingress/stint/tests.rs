//! Who goes on beside an answer that streams. Must never depend on how fast a machine is.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;

use tokio::task::LocalSet;

use super::{BYTES, Stint};
use crate::tasks;

/// Of what a guest writes at once.
const PIECE: u64 = BYTES / 4;
const PIECES: usize = 40;

/// Sends pieces for as long as it may, and says so each time.
async fn sends(said: Rc<RefCell<String>>) {
    let mut stint = Stint::default();
    for piece in 0..PIECES as u64 {
        poll_fn(|cx| stint.poll(piece * PIECE, cx)).await;
        assert!(!stint.is_over());
        said.borrow_mut().push('s');
    }
}

#[test]
fn whatever_else_is_ready_has_its_turn_beside_an_answer_that_streams() {
    let said = Rc::new(RefCell::new(String::new()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let (sent, others) = (said.clone(), said.clone());
    LocalSet::new().block_on(&runtime, async move {
        tasks::local(sends(sent));
        while others.borrow().matches('s').count() < PIECES {
            others.borrow_mut().push('o');
            tokio::task::yield_now().await;
        }
    });
    // What was gathered first, and then so many pieces at once.
    let said = said.borrow();
    let runs: Vec<usize> = said.split('o').map(str::len).filter(|run| *run > 0).collect();
    assert_eq!(runs, [4; 10], "{said}");
}

/// As hyper does right after it has flushed.
#[test]
fn who_asks_again_meanwhile_hears_the_same() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let (mut stint, mut asked) = (Stint::default(), 0);
        poll_fn(|cx| {
            asked += 1;
            let first = stint.poll(0, cx);
            assert_eq!((stint.poll(0, cx), stint.is_over()), (first, first.is_pending()));
            first
        })
        .await;
        assert_eq!(asked, 2);
    });
}

#[test]
fn an_answer_beside_which_nothing_is_ready_goes_on_at_once() {
    let said = Rc::new(RefCell::new(String::new()));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    LocalSet::new().block_on(&runtime, sends(said.clone()));
    assert_eq!(said.borrow().len(), PIECES);
}
