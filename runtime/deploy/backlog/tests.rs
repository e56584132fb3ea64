//! That nothing waits twice, that the bounds hold, and that what is hopeless is left alone.

use super::*;

fn job(number: usize) -> Job {
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&number.to_le_bytes());
    Job { digest: Digest(digest), profile: Profile::Lean }
}

#[tokio::test]
async fn jobs_come_in_their_order_and_each_once() {
    let backlog = Backlog::default();
    for number in [1, 2, 1, 3, 2] {
        backlog.add(job(number));
    }
    let other = Job { profile: Profile::Async, ..job(1) };
    backlog.add(other);
    for expected in [job(1), job(2), job(3), other] {
        assert_eq!(backlog.next().await, expected);
    }
    // One that is being done may be needed again meanwhile.
    backlog.add(job(1));
    assert_eq!(backlog.next().await, job(1));
}

#[tokio::test]
async fn whoever_waits_for_a_job_is_woken() {
    let backlog = Backlog::default();
    let (taken, ()) = tokio::join!(backlog.next(), async {
        tokio::task::yield_now().await;
        backlog.add(job(7));
    });
    assert_eq!(taken, job(7));
}

#[test]
fn one_too_many_is_not_taken() {
    let mut queue = Queue::default();
    assert!((0..WAITING).all(|number| queue.add(job(number))));
    assert!(!queue.add(job(WAITING)));
    queue.waiting.pop_front();
    assert!(queue.add(job(WAITING)));
    assert_eq!(queue.waiting.len(), WAITING);
}

#[test]
fn what_is_hopeless_is_not_tried_again_until_too_much_is() {
    let mut queue = Queue::default();
    queue.give_up(job(0));
    assert!(!queue.add(job(0)) && queue.add(job(1)));
    (1..HOPELESS).for_each(|number| queue.give_up(job(number)));
    assert!(!queue.add(job(0)));
    queue.give_up(job(HOPELESS));
    assert!(queue.add(job(0)));
    assert_eq!(queue.hopeless.len(), 1);
}
