//! Gates: never more than so many, and whoever waits is let in by whoever leaves.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};

use super::{Gate, WAITING};

/// One look at a future, by somebody who cannot be woken.
fn poll<F: Future>(future: &mut Pin<Box<F>>) -> Poll<F::Output> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn never_more_are_in_than_may_be_on_any_number_of_threads() {
    let (gate, inside) = (Gate::default(), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5_000 {
                    if gate.enter(2) {
                        assert!(inside.fetch_add(1, SeqCst) < 2);
                        inside.fetch_sub(1, SeqCst);
                        gate.leave();
                    }
                }
            });
        }
    });
    assert_eq!(gate.inside(), 0);
}

#[test]
fn waiters_are_let_in_one_by_one_across_threads() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    let gate = Arc::new(Gate::default());
    assert!(gate.enter(1));
    runtime.block_on(async {
        let waiting = (0..8).map(|_| async {
            let entered = gate.wait(1).await;
            if entered {
                gate.leave();
            }
            entered
        });
        let all = futures_util::future::join_all(waiting);
        let (entered, ()) = tokio::join!(all, async {
            tokio::task::yield_now().await;
            gate.leave();
        });
        assert!(entered.into_iter().all(|entered| entered));
    });
    assert_eq!(gate.inside(), 0);
}

#[test]
fn only_so_many_wait_and_none_for_ever() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let gate = Gate::default();
    assert!(gate.enter(1));
    runtime.block_on(async {
        let most = WAITING as usize;
        let mut waiting: Vec<_> = (0..most + 5).map(|_| Box::pin(gate.wait(1))).collect();
        let mut refused = 0;
        for one in &mut waiting {
            refused += usize::from(poll(one).is_ready());
        }
        assert_eq!(refused, 5);
        for one in waiting.into_iter().take(most) {
            assert!(!one.await);
        }
    });
    assert_eq!(gate.waiting.load(SeqCst), 0);
}
