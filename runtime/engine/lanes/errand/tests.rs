//! Errands: done by turns, and no longer than anybody waits for them.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tokio::runtime::{Builder, Handle};

use super::super::{Group, HeavyLane};
use crate::engine::ticker::Ticker;

const GROUP: Group = Group { tenant: 1, weight: 1 };

fn on_a_lane<F: Future<Output = ()>>(test: impl FnOnce(HeavyLane) -> F) {
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let ticker = Ticker::start(false).unwrap();
        let lane = HeavyLane::start(1, &ticker, &Handle::current(), (Arc::new(|| 0), 0)).unwrap();
        test(lane.clone()).await;
        lane.stop();
        ticker.stop();
    });
}

#[test]
fn an_errand_goes_on_slice_by_slice_until_it_is_done() {
    on_a_lane(|lane| async move {
        let mut slices = 0;
        let counted = lane.run(GROUP, move |cx, _| {
            slices += 1;
            cx.waker().wake_by_ref();
            if slices < 5 { Poll::Pending } else { Poll::Ready(slices) }
        });
        assert_eq!(counted.await, Some(5));
        assert_eq!(lane.run(GROUP, |_, _| -> Poll<()> { panic!("a fault of the host") }).await, None);
        // What ended takes no turn any more, and the thread is still there.
        assert_eq!(lane.run(GROUP, |_, _| Poll::Ready("next")).await, Some("next"));
        while lane.is_busy() {
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn an_errand_ends_when_nobody_waits_for_it_whether_it_runs_or_sleeps() {
    on_a_lane(|lane| async move {
        for runs in [true, false] {
            let kept = Arc::new(());
            let held = kept.clone();
            let endless = lane.run(GROUP, move |cx, _| {
                if runs && Arc::strong_count(&held) > 0 {
                    cx.waker().wake_by_ref();
                }
                Poll::<()>::Pending
            });
            let mut endless = Box::pin(endless);
            assert!(endless.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            drop(endless);
            while Arc::strong_count(&kept) > 1 {
                tokio::task::yield_now().await;
            }
        }
    });
}
