//! What holds of records, whatever calls end in whatever way: bounds, fairness, and that nothing is left of what is gone.

use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::book::{Book, Bounds};
use super::record::BYTES;
use super::{CODES, Cursor, GOOD, Ledger, Phases, Record, Records, Spent};
use crate::model::frame::Frame;
use crate::model::outcome::Outcome;
use crate::model::request_id::RequestId;
use crate::model::version::{Digest, VersionNumber};

const SECOND: u64 = 1_000_000_000;

fn record(number: u64, tenant: &str, code: &'static str, padding: usize) -> Record {
    Record {
        id: RequestId::new(1, 2, number),
        tenant: tenant.parse().unwrap(),
        function: "f".parse().unwrap(),
        version: VersionNumber(1),
        digest: Digest([0; 32]),
        at_ms: 0,
        attempt: 1,
        retried: None,
        code,
        detail: "d".repeat(padding),
        start: None,
        breaker: None,
        limit: None,
        spent: Spent::default(),
        phases: Phases::default(),
        backtrace: vec![],
        log: vec![],
    }
}

fn ledger(records: &Records, tenant: &str, function: &str) -> Arc<Ledger> {
    records.open(&tenant.parse().unwrap(), &function.parse().unwrap())
}

#[test]
fn every_code_of_an_outcome_has_its_place() {
    let text = String::new;
    for outcome in [
        Outcome::Trapped(text()),
        Outcome::CpuLimit,
        Outcome::Timeout { client: false },
        Outcome::MemoryLimit,
        Outcome::MemoryShort,
        Outcome::Overloaded,
        Outcome::BadRequest,
        Outcome::NoResponse,
        Outcome::BadResponse(text()),
        Outcome::GuestError(text()),
        Outcome::PayloadTooLarge,
        Outcome::ResponseTooLarge,
        Outcome::ClientGone,
        Outcome::HostError(text()),
    ] {
        assert!(CODES.contains(&outcome.code()), "{}", outcome.code());
    }
    assert_eq!(Outcome::Completed.code(), GOOD);
}

#[test]
fn both_attempts_at_one_call_are_found_and_neither_hides_the_other() {
    let records = Records::default();
    let ledger = ledger(&records, "t", "f");
    ledger.keep(Record { retried: Some("guest_trap"), ..record(1, "t", "guest_trap", 0) });
    ledger.keep(Record { attempt: 2, ..record(1, "t", "guest_trap", 0) });
    let attempts = |number| {
        let found = records.find(RequestId::new(1, 2, number));
        found.iter().map(|record| record.attempt).collect::<Vec<_>>()
    };
    assert_eq!(attempts(1), [2, 1]);
    // One of them is pushed out.
    for number in 2..=32 {
        ledger.keep(record(number, "t", "guest_trap", 0));
    }
    assert_eq!(attempts(1), [2]);
    ledger.keep(record(33, "t", "guest_trap", 0));
    assert!(attempts(1).is_empty());
}

#[test]
fn one_good_call_in_a_thousand_is_sampled_and_at_most_one_a_second() {
    let ledger = ledger(&Records::default(), "t", "f");
    let sampled = |calls: u64, now: u64| (0..calls).filter(|_| ledger.good(1, 2, now)).count();
    assert_eq!(sampled(1, SECOND), 1, "the first one");
    assert_eq!(sampled(1_023, 2 * SECOND), 0);
    assert_eq!(sampled(1, 2 * SECOND), 1);
    assert_eq!(sampled(50_000, 3 * SECOND), 1);
    assert_eq!(sampled(50_000, 3 * SECOND + 5), 0);
    let totals = ledger.totals();
    assert_eq!((totals.good, totals.cpu_ns, totals.wall_ns), (101_025, 101_025, 202_050));
}

#[test]
fn a_storm_is_counted_whole_and_recorded_in_part() {
    let ledger = ledger(&Records::default(), "t", "f");
    let recorded = |code: &str, now: u64| (0..50_000).filter(|_| ledger.failed(code, 1, 1, now)).count();
    assert_eq!(recorded("guest_trap", SECOND), 128);
    assert_eq!(recorded("timeout", SECOND), 128, "one kind does not use up another's");
    assert_eq!(recorded("guest_trap", 2 * SECOND), 128);
    assert_eq!(ledger.totals().invocations(), 150_000);
    let counts: HashMap<_, _> = ledger.totals().by_code().collect();
    assert_eq!(counts, HashMap::from([("guest_trap", 100_000), ("timeout", 50_000)]));
}

#[test]
fn nothing_is_kept_of_a_function_that_was_removed_but_its_part_of_the_sum() {
    let records = Records::default();
    let (gone, stays) = (ledger(&records, "t", "gone"), ledger(&records, "t", "stays"));
    assert!(gone.failed("timeout", 5, 7, SECOND));
    gone.keep(record(1, "t", "timeout", 0));
    stays.keep(record(2, "t", "timeout", 0));
    records.forget(&gone);
    // A call that was still in progress.
    gone.keep(record(3, "t", "timeout", 0));
    let kept = |number| !records.find(RequestId::new(1, 2, number)).is_empty();
    assert_eq!((kept(1), kept(2), kept(3)), (false, true, false));
    assert!(records.page(&gone, None, None, 10).0.is_empty());
    let tenant = "t".parse().unwrap();
    assert_eq!(records.retired(&tenant).cpu_ns, 5);
    records.forget(&gone);
    assert_eq!(records.retired(&tenant).cpu_ns, 5, "once");
    records.forget_tenant(&tenant);
    assert_eq!(records.retired(&tenant).cpu_ns, 0);
}

#[test]
fn the_first_page_has_the_newest_of_each_code() {
    let records = Records::default();
    let ledger = ledger(&records, "t", "f");
    for number in 0..40 {
        ledger.keep(record(number, "t", "guest_trap", 0));
    }
    ledger.keep(record(40, "t", GOOD, 0));
    ledger.keep(record(41, "t", "timeout", 0));
    for number in 42..90 {
        ledger.keep(record(number, "t", "cpu_limit", 0));
    }
    let (first, next) = records.page(&ledger, None, None, 5);
    let shown: Vec<_> = first.iter().map(|each| each.code).collect();
    assert_eq!(shown, ["cpu_limit", "timeout", "guest_trap", "cpu_limit", "cpu_limit"]);
    assert_eq!(first[2].id, RequestId::new(1, 2, 39));
    let mut all = first.len();
    let mut after = next;
    while let Some(cursor) = after {
        let again: Cursor = cursor.to_string().parse().unwrap();
        assert_eq!(again, cursor);
        let (page, next) = records.page(&ledger, None, Some(cursor), 7);
        assert!(!page.is_empty() && page.len() <= 7);
        (all, after) = (all + page.len(), next);
    }
    assert_eq!(all, 32 + 32 + 1, "no good call is a failure");
    assert_eq!(records.page(&ledger, Some(GOOD), None, 5).0.len(), 1);
    assert_eq!(records.page(&ledger, Some("timeout"), None, 5).0[0].id, RequestId::new(1, 2, 41));
}

#[test]
fn a_tenant_that_fills_the_book_pays_with_its_own_coldest_function() {
    let mut book = Book::new(Bounds { per_code: 32, bytes: 100_000 });
    book.keep(1, record(1, "quiet", "timeout", 100).into());
    for (number, code) in (2..5_000).zip(CODES.into_iter().cycle()) {
        let function = 2 + number % 50;
        book.keep(function, record(number, "loud", code, 500).into());
        assert!(book.bytes() <= 100_000);
    }
    assert!(book.find(RequestId::new(1, 2, 1), 1).is_some());
    assert!(book.find(RequestId::new(1, 2, 4_999), 1).is_some(), "the newest is there");
}

proptest! {
    #[test]
    fn a_record_never_exceeds_its_bound(
        detail in 0_usize..20_000,
        names in prop::collection::vec(prop::option::of("\\PC{0,400}"), 0..40),
        lines in prop::collection::vec(0_usize..2_000, 0..40),
    ) {
        let mut record = record(1, "t", "guest_trap", detail);
        record.backtrace = names.iter().map(|name| Frame::new(name.as_deref(), 1, Some(2))).collect();
        record.log = lines.iter().map(|length| vec![b'x'; *length]).collect();
        let was_within = record.bytes() <= BYTES;
        let before = record.clone();
        record.fit();
        prop_assert!(record.bytes() <= BYTES);
        prop_assert!(before.backtrace.starts_with(&record.backtrace) && before.log.ends_with(&record.log));
        prop_assert!(!was_within || record == before);
    }

    #[test]
    fn the_book_keeps_its_bounds_and_leaves_nothing_behind(
        calls in prop::collection::vec((0_u64..12, 0_usize..4, 0_usize..3_000, 0_u8..20), 1..300),
        most in 2_000_usize..60_000,
    ) {
        let per_code = 4;
        let mut book = Book::new(Bounds { per_code, bytes: most });
        let mut written: Vec<(u64, u64, &str)> = Vec::new();
        for (number, (function, code, padding, removes)) in calls.into_iter().enumerate() {
            let (number, code) = (number as u64, CODES[code]);
            if removes == 0 {
                book.forget(function);
                written.retain(|(_, of, _)| *of != function);
                continue;
            }
            let kept = record(number, if function % 3 == 0 { "a" } else { "b" }, code, padding);
            let fits = kept.bytes() <= most;
            book.keep(function, kept.into());
            written.push((number, function, code));
            prop_assert!(book.bytes() <= most);
            // The newest one of all is there, unless its tenant has no room even for it.
            let found = book.find(RequestId::new(1, 2, number), 1).is_some();
            prop_assert!(found || !fits || book.bytes() + 4_000 > most);
        }
        let mut bytes = 0;
        let mut listed = 0;
        for function in 0..12 {
            let (page, next) = book.page(function, None, None, 1_000);
            prop_assert!(next.is_none());
            let mut of_code: HashMap<&str, usize> = HashMap::new();
            for each in &page {
                bytes += each.bytes();
                listed += 1;
                *of_code.entry(each.code).or_default() += 1;
                prop_assert!(book.find(each.id, 1).is_some_and(|found| Arc::ptr_eq(&found, each)));
            }
            prop_assert!(of_code.values().all(|count| *count <= per_code));
        }
        prop_assert_eq!(bytes, book.bytes(), "every byte is on the books");
        let found = written.iter().filter(|(number, ..)| book.find(RequestId::new(1, 2, *number), 1).is_some());
        prop_assert_eq!(found.count(), listed, "what is found is listed");
        for function in 0..12 {
            book.forget(function);
        }
        prop_assert_eq!(book.bytes(), 0);
        prop_assert!(written.iter().all(|(number, ..)| book.find(RequestId::new(1, 2, *number), 1).is_none()));
    }
}
