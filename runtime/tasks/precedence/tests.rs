//! What holds of precedence.

use super::*;

#[test]
fn a_thread_that_hardly_sleeps_does_not_come_before_everybody() {
    assert!(is_enough(3, 16));
    assert!(!is_enough(2, 16));
    assert!(!is_enough(0, 0));
}

#[test]
fn a_sleep_counts_once_while_it_lasts_and_when_it_is_over() {
    let slept = Slept::default();
    assert_eq!(slept.until(100), 0);
    slept.begins(100);
    assert_eq!(slept.until(150), 50);
    slept.ends(180);
    assert_eq!((slept.until(180), slept.until(900)), (80, 80));
    slept.ends(990);
    assert_eq!(slept.until(1_000), 80, "it was awake");
    slept.begins(1_000);
    assert_eq!(slept.until(1_001), 81);
}

fn is_real_time() -> bool {
    matches!(thread_schedule_policy(), Ok(ThreadSchedulePolicy::Realtime(_)))
}

#[test]
fn precedence_is_given_for_sleep_and_taken_for_none_and_the_nice_value_stays() {
    let thread = std::thread::spawn(|| {
        let nice = super::super::own_nice();
        let precedence = Precedence::default();
        let slept = Arc::<Slept>::default();
        let member = precedence.join(slept.clone());
        slept.begins(1);
        slept.ends(9_000);
        precedence.review(10_000);
        assert!(!is_real_time(), "nobody who comes before it reviews it");

        // Any thread may review; this one has no need to come before itself.
        let given = is_given(1);
        assert!(!is_given(usize::MAX), "more than there are cores");
        precedence.allowed.store(given, Ordering::Relaxed);
        slept.begins(10_000);
        slept.ends(19_000);
        precedence.review(20_000);
        assert_eq!(is_real_time(), given);
        precedence.review(30_000);
        assert!(!is_real_time(), "it did not sleep");
        slept.begins(30_000);
        precedence.review(40_000);
        assert_eq!(is_real_time(), given);
        precedence.withdraw();
        assert!(!is_real_time());
        precedence.review(50_000);
        assert_eq!((is_real_time(), super::super::own_nice()), (given, nice));

        let started = std::thread::spawn(|| {
            super::super::take(super::super::Rank::Last);
            is_real_time()
        });
        assert!(!started.join().unwrap(), "what it starts has a rank of its own");
        drop(member);
        assert!(!is_real_time());
        precedence.review(60_000);
        assert!(!is_real_time(), "it has left");
        assert_eq!(super::super::own_nice(), nice);
    });
    thread.join().unwrap();
}

#[test]
fn who_gives_way_comes_before_others_for_a_moment_and_only_while_somebody_reviews() {
    let thread = std::thread::spawn(|| {
        let precedence = Precedence::default();
        let given = is_given(1);
        assert!(!hurried(is_real_time), "it has nobody to give way to");
        precedence.gives_way();
        assert!(!hurried(is_real_time), "nobody reviews");
        precedence.allowed.store(given, Ordering::Relaxed);
        precedence.review(1_000);
        crate::tasks::set_nice(None, 19).unwrap();
        let nice = super::super::own_nice;
        let first = if given { Rank::Answers.nice() } else { 19 };
        assert_eq!(hurried(|| (is_real_time(), nice())), (false, first), "none of those that answer has it");
        assert_eq!(nice(), 19);
        precedence.review.has_any.store(true, Ordering::Relaxed);
        assert_eq!((is_real_time(), hurried(is_real_time)), (false, given));
        assert_eq!((is_real_time(), nice()), (false, 19), "it is over");
        let panicked = std::panic::catch_unwind(|| hurried(|| panic!("in the middle")));
        assert!(panicked.is_err() && !is_real_time());
        // A future has it while it is polled, and not while it waits.
        let mut polls = 0;
        let mut future = std::pin::pin!(hurrying(std::future::poll_fn(move |_| {
            polls += 1;
            assert_eq!(is_real_time(), given);
            if polls < 3 { std::task::Poll::Pending } else { std::task::Poll::Ready(polls) }
        })));
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        for _ in 0..2 {
            assert!(future.as_mut().poll(&mut cx).is_pending() && !is_real_time());
        }
        assert!(future.as_mut().poll(&mut cx).is_ready());
        precedence.withdraw();
        assert!(!hurried(is_real_time));
    });
    thread.join().unwrap();
}
