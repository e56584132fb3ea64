//! CPU time is the guest's own: what passes while its thread is not scheduled is nobody's.

use std::time::Duration;

use super::*;

const MS: u64 = 1_000_000;
/// A thread that is not scheduled, as far as it can tell.
const AWAY: Duration = Duration::from_millis(25);

fn compute(ns: u64) {
    let start = thread_cpu_ns();
    while thread_cpu_ns() - start < ns {
        std::hint::spin_loop();
    }
}

fn polling(budget_ms: u64) -> Meter {
    let meter = Meter::default();
    meter.arm(budget_ms);
    meter.poll_begins();
    meter
}

#[test]
fn a_call_whose_thread_was_not_scheduled_is_not_charged_for_that() {
    let meter = polling(1_000);
    std::thread::sleep(AWAY);
    meter.poll_ends();
    assert!(meter.cpu_ns() < 2 * MS, "{} ns of a pause of {AWAY:?}", meter.cpu_ns());
}

#[test]
fn nor_stopped_or_interrupted() {
    let meter = polling(5);
    std::thread::sleep(AWAY);
    assert_eq!(meter.tick(), Tick::GoOn);
    assert_eq!(meter.ticks(), 0);
    compute(MS);
    assert_eq!(meter.tick(), Tick::Yield);
    meter.poll_ends();
    assert_eq!(meter.ticks(), 1);
    assert!(meter.cpu_ns() >= MS, "what it did compute is charged");
}

#[test]
fn what_a_guest_computes_is_charged_with_and_without_a_tick() {
    let meter = polling(1_000);
    compute(5 * MS);
    meter.poll_ends();
    assert!(meter.cpu_ns() >= 5 * MS);
    meter.poll_begins();
    compute(2 * MS);
    assert_eq!(meter.tick(), Tick::Yield);
    compute(2 * MS);
    meter.poll_ends();
    assert!(meter.cpu_ns() >= 9 * MS, "{}", meter.cpu_ns());
}

#[test]
fn a_budget_ends_at_the_tick_after_it_is_spent() {
    let meter = polling(3);
    compute(4 * MS);
    assert_eq!(meter.tick(), Tick::Stop);
    assert!(meter.cpu_exceeded());
}

#[test]
fn many_short_polls_add_up() {
    let meter = Meter::default();
    meter.arm(1_000);
    for _ in 0..100 {
        meter.poll_begins();
        compute(MS / 10);
        meter.poll_ends();
    }
    assert!(meter.cpu_ns() >= 10 * MS, "{}", meter.cpu_ns());
}

#[test]
fn many_short_polls_of_a_thread_that_was_not_scheduled_are_not_charged_for_that() {
    let meter = Meter::default();
    meter.arm(1_000);
    for _ in 0..50 {
        meter.poll_begins();
        std::thread::sleep(Duration::from_micros(700));
        meter.poll_ends();
    }
    assert!(meter.cpu_ns() < 10 * MS, "{} ns of 50 pauses of 0.7 ms", meter.cpu_ns());
}
