//! Room on one thread: given back by whoever drops it, to whose turn it is, and never lost.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use proptest::prelude::*;
use tokio::task::LocalSet;

use super::{Room, Rooms, Share, Taken};
use crate::engine::program::ProgramId;
use crate::host::account::{Account, Accounts};

struct Rig {
    rooms: Rc<Rooms>,
    accounts: Vec<Arc<Account>>,
}

impl Rig {
    fn new(most: u32, tenants: usize) -> Self {
        let accounts = Accounts::unlimited();
        let rooms = Rooms::new(most, accounts.budget().clone());
        let account = |n: usize| accounts.of(&format!("t{n}").parse().unwrap());
        Self { rooms, accounts: (0..tenants).map(account).collect() }
    }

    fn share(&self, tenant: usize) -> Rc<Share> {
        self.rooms.share(&self.accounts[tenant])
    }

    fn take(&self, tenant: usize) -> Option<Room> {
        let share = self.share(tenant);
        (!self.rooms.is_full() && self.rooms.may(&share)).then(|| self.rooms.room(&share))
    }

    async fn wait(&self, tenant: usize) -> Option<Taken> {
        self.rooms.wait(&self.share(tenant), ProgramId::next()).await
    }
}

fn on_a_thread(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    LocalSet::new().block_on(&runtime, test);
}

/// One look at a future, by somebody who cannot be woken.
fn poll<F: Future>(future: &mut Pin<Box<F>>) -> Poll<F::Output> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn whoever_waits_is_let_in_when_a_room_is_dropped() {
    on_a_thread(async {
        let rig = Rig::new(1, 2);
        let room = rig.take(0).unwrap();
        assert!(rig.take(1).is_none());
        let (taken, ()) = tokio::join!(rig.wait(1), async {
            tokio::task::yield_now().await;
            drop(room);
        });
        assert!(matches!(taken, Some(Taken::Nothing(_))));
        assert_eq!(rig.rooms.live(), 1, "it is the waiter's now");
        drop(taken);
        assert_eq!(rig.rooms.live(), 0);
    });
}

#[test]
fn nobody_waits_for_long_and_less_where_the_line_has_been_standing() {
    on_a_thread(async {
        let rig = Rig::new(1, 1);
        let _room = rig.take(0).unwrap();
        let began = std::time::Instant::now();
        let waiting = futures_util::future::join_all((0..3).map(|_| rig.wait(0)));
        assert!(waiting.await.iter().all(Option::is_none));
        assert!(began.elapsed() >= Duration::from_millis(90), "{:?}", began.elapsed());
        assert!(!rig.rooms.is_awaited());
    });
}

#[test]
fn who_gives_up_leaves_no_trace_and_what_it_was_given_goes_to_the_next() {
    on_a_thread(async {
        let rig = Rig::new(1, 3);
        let room = rig.take(0).unwrap();
        let mut first = Box::pin(rig.wait(1));
        let mut second = Box::pin(rig.wait(2));
        assert!(poll(&mut first).is_pending());
        assert!(poll(&mut second).is_pending());
        drop(room);
        // The first one was given it, and its client has left before it could look.
        drop(first);
        assert!(second.await.is_some());
        assert!(!rig.rooms.is_awaited());
        assert_eq!(rig.rooms.live(), 0);
    });
}

#[test]
fn a_line_is_bounded() {
    on_a_thread(async {
        let rig = Rig::new(1, 1);
        let _room = rig.take(0).unwrap();
        let mut waiting: Vec<_> = (0..100).map(|_| Box::pin(rig.wait(0))).collect();
        let mut refused = 0;
        for one in &mut waiting {
            refused += usize::from(matches!(poll(one), Poll::Ready(None)));
        }
        assert_eq!(refused, 100 - super::WAITING.1);
    });
}

proptest! {
    #[test]
    fn whatever_is_taken_and_dropped_the_counts_are_true(
        steps in proptest::collection::vec((0usize..4, any::<bool>(), any::<prop::sample::Index>()), 0..300),
    ) {
        let rig = Rig::new(12, 4);
        let mut held: Vec<(usize, Room)> = Vec::new();
        for (tenant, takes, which) in steps {
            if takes {
                let own = held.iter().filter(|(owner, _)| *owner == tenant).count();
                match rig.take(tenant) {
                    Some(room) => held.push((tenant, room)),
                    None => prop_assert!(own > 0 || held.len() == 12, "a newcomer is refused for want of room only"),
                }
            } else if !held.is_empty() {
                let (_, mut room) = held.swap_remove(which.index(held.len()));
                room.rest();
                drop(room);
            }
            prop_assert_eq!(rig.rooms.live() as usize, held.len());
            prop_assert!(held.len() <= 12);
        }
        drop(held);
        prop_assert_eq!(rig.rooms.live(), 0);
        rig.rooms.settle();
        prop_assert!(rig.rooms.shares.borrow().is_empty());
    }
}
