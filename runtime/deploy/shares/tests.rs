//! Who has a place when.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::{Shares, Taken};
use crate::model::name::TenantName;

fn name(tenant: &str) -> TenantName {
    tenant.parse().unwrap()
}

#[test]
fn one_tenant_has_half_of_the_places_and_others_the_rest() {
    let shares = Shares::of(4);
    let (a, b, c) = (name("a"), name("b"), name("c"));
    let held: Vec<_> = (0..2).map(|_| shares.try_enter(&a).unwrap()).collect();
    assert_eq!(shares.try_enter(&a).unwrap_err(), Taken::ByTenant(2));
    let _others = (shares.try_enter(&b).unwrap(), shares.try_enter(&c).unwrap());
    assert_eq!(shares.try_enter(&b).unwrap_err(), Taken::ByAll);
    drop(held);
    assert!(shares.try_enter(&b).is_ok());
}

#[test]
fn a_single_place_is_everybodys() {
    for places in [0, 1] {
        let shares = Shares::of(places);
        let held = shares.try_enter(&name("a")).unwrap();
        assert_eq!(shares.try_enter(&name("b")).unwrap_err(), Taken::ByAll);
        drop(held);
        assert!(shares.try_enter(&name("b")).is_ok());
    }
}

#[test]
fn however_many_of_one_tenant_wait_the_next_of_another_is_served_after_one_of_them() {
    let shares = Shares::of(1);
    let cx = &mut Context::from_waker(Waker::noop());
    let (a, b) = (name("a"), name("b"));
    let first = shares.try_enter(&a).unwrap();
    let mut crowd: Vec<_> = (0..5).map(|_| Box::pin(shares.enter(&a))).collect();
    assert!(crowd.iter_mut().all(|one| one.as_mut().poll(cx).is_pending()));
    let mut other = pin!(shares.enter(&b));
    assert!(other.as_mut().poll(cx).is_pending());
    drop(first);
    // One of the crowd was in no line but its tenant's when the other came.
    let Poll::Ready(Ok(served)) = other.as_mut().poll(cx) else { panic!("it waits for the crowd") };
    assert!(crowd.iter_mut().all(|one| one.as_mut().poll(cx).is_pending()));
    drop(served);
    let polled: Vec<_> = crowd.iter_mut().map(|one| one.as_mut().poll(cx)).collect();
    assert_eq!(polled.iter().filter(|one| one.is_ready()).count(), 1);
}

#[test]
fn nothing_is_kept_of_who_has_left() {
    let shares = Shares::of(8);
    for tenant in 0..100 {
        drop(shares.try_enter(&name(&format!("t{tenant}"))).unwrap());
    }
    assert!(shares.tenants.lock().unwrap().len() <= 1);
}

#[tokio::test]
async fn a_tenant_that_rests_has_no_place_meanwhile_and_others_have() {
    let shares = Shares::of(2);
    let (a, b, c) = (name("a"), name("b"), name("c"));
    let mut rests = pin!(shares.try_enter(&a).unwrap().rest(Duration::from_hours(1)));
    assert!(rests.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(shares.try_enter(&a).unwrap_err(), Taken::ByTenant(1));
    let others = (shares.try_enter(&b).unwrap(), shares.try_enter(&c).unwrap());
    drop(others);
    shares.try_enter(&b).unwrap().rest(Duration::from_millis(1)).await;
    shares.try_enter(&b).unwrap().rest(Duration::ZERO).await;
    assert!(shares.try_enter(&b).is_ok());
}
