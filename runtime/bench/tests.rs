//! The pure parts: when calls are due, who is asked, what a server says, how times add up, what a page escapes; and one
//! load against a server of the test's own.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use http::header::HeaderValue;
use http::{HeaderMap, Uri};
use proptest::prelude::*;

use super::caller::{Answer, CallError, Caller, Target};
use super::load::{self, Plan};
use super::page::{Bar, Curve, Scale, bars, curves, escaped, page};
use super::report::{Asked, ColdReport, LoadReport, Report};
use super::salt::salted;
use super::schedule::Schedule;
use super::tally::{Tally, Took};
use super::times::Times;
use super::timing::{Phases, start_of};
use super::zipf::Zipf;
use crate::model::outcome::Start;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

proptest! {
    #[test]
    fn a_call_is_due_exactly_when_its_number_says(rate in 0.001f64..1e6, seconds in 0.001f64..3600.0, number in 0u64..100_000_000) {
        let schedule = Schedule::new(rate, Duration::from_secs_f64(seconds));
        let number = number.min(schedule.total() - 1);
        let due = schedule.due(number);
        prop_assert_eq!(schedule.due_by(due), schedule.due_by(due).max(number + 1), "it is due when it is due");
        if due > Duration::ZERO && schedule.due(number.saturating_sub(1)) < due {
            prop_assert_eq!(schedule.due_by(due.saturating_sub(Duration::from_nanos(1))), number, "and not before");
        }
        prop_assert!(schedule.due(schedule.total() - 1) < Duration::from_secs_f64(seconds) || schedule.total() == 1);
        #[expect(clippy::cast_precision_loss, reason = "small")]
        let total = schedule.total() as f64;
        prop_assert!((total - rate * seconds).abs() <= 1.0 + total * 1e-3, "{} for {}", total, rate * seconds);
    }

    #[test]
    fn every_pick_is_one_of_them(count in 0usize..300, exponent in 0.0f64..10.0, seed: u64) {
        let mut zipf = Zipf::new(count, exponent, seed);
        for _ in 0..100 {
            prop_assert!(zipf.pick() < count.max(1));
        }
    }

    #[test]
    fn merged_times_are_those_of_all(a in proptest::collection::vec(1u64..1 << 40, 0..50), b in proptest::collection::vec(1u64..1 << 40, 0..50)) {
        let of = |nanos: &[u64]| {
            let mut times = Times::new().unwrap();
            for nanos in nanos {
                times.record(Duration::from_nanos(*nanos));
            }
            times
        };
        let mut merged = of(&a);
        merged.merge(&of(&b));
        prop_assert_eq!(merged.quantiles(), of(&[a, b].concat()).quantiles());
        let curve = merged.curve();
        prop_assert!(curve.windows(2).all(|pair| pair[0].us <= pair[1].us && pair[0].share < pair[1].share));
    }

    #[test]
    fn whatever_a_server_says_of_its_phases_is_read_without_harm(field in "\\PC*") {
        let _ = Phases::parse(&field);
    }

    #[test]
    fn nothing_that_is_escaped_marks_up(text in "\\PC*") {
        let escaped = escaped(&text);
        prop_assert!(!escaped.contains(['<', '>', '"', '\'']), "{}", escaped);
        let back = ["&#38;", "&#60;", "&#62;", "&#34;", "&#39;"].iter().zip(["&", "<", ">", "\"", "'"]).rev();
        let back = back.fold(escaped.clone(), |text, (from, to)| text.replace(from, to));
        prop_assert_eq!(back, text);
    }

    #[test]
    fn every_value_has_its_place_and_larger_ones_are_further(least in 0.0f64..1e9, most in 0.0f64..1e9, a: f64, b: f64) {
        for scale in [Scale::log(least, most), Scale::nines(least / 1e9), Scale::share()] {
            let (low, high) = (scale.place(a.min(b)), scale.place(a.max(b)));
            prop_assert!((0.0..=1.0).contains(&low) && low <= high, "{scale:?}: {low} {high}");
            let ticks = scale.ticks();
            prop_assert!((2..=16).contains(&ticks.len()), "{ticks:?}");
        }
    }
}

#[test]
fn a_schedule_is_even() {
    let schedule = Schedule::new(4.0, Duration::from_secs(2));
    assert_eq!(schedule.total(), 8);
    assert_eq!([0, 1, 7].map(|number| schedule.due(number)), [0, 250, 1_750].map(ms));
    assert_eq!([0, 249, 250, 5_000].map(|at| schedule.due_by(ms(at))), [1, 1, 2, 8]);
    assert_eq!(Schedule::new(0.001, ms(1)).total(), 1);
}

#[test]
fn the_first_of_many_is_picked_as_often_as_the_law_says() {
    let mut zipf = Zipf::new(3, 1.0, 7);
    let mut counts = [0u32; 3];
    (0..60_000).for_each(|_| counts[zipf.pick()] += 1);
    // 6/11, 3/11, 2/11.
    for (count, expected) in counts.into_iter().zip([32_727u32, 16_363, 10_909]) {
        assert!(count.abs_diff(expected) < 1_000, "{counts:?}");
    }
    let mut alike = Zipf::new(2, 0.0, 7);
    let first = (0..10_000).filter(|_| alike.pick() == 0).count();
    assert!((4_500..5_500).contains(&first), "{first}");
}

#[test]
fn phases_are_read_as_the_standard_writes_them() {
    let of = |field: &str| Phases::parse(field).0.map(|took| took.map(|took| took.as_micros()));
    let ours = "route;dur=0.012, queue;dur=0.001, spawn;dur=1.250;desc=\"cold\", guest;dur=0.300";
    assert_eq!(of(ours), [Some(12), Some(1), None, Some(1_250), None, Some(300)]);
    assert_eq!(of("load;desc=\"a, b;dur=9\\\"\" ; DUR=\"2.5\""), [None, None, Some(2_500), None, None, None]);
    for nothing in [
        "",
        ",",
        "guest",
        "guest;dur",
        "guest;dur=",
        "guest;dur=-1",
        "guest;dur=NaN",
        "guest;dur=1e300",
        "guests;dur=1",
        "db;dur=3",
    ] {
        assert_eq!(of(nothing), [None; 6], "{nothing}");
    }
}

#[test]
fn the_platforms_own_timing_counts_and_not_the_guests() {
    let mut headers = HeaderMap::new();
    for field in ["guest;dur=99", "guest;dur=1"] {
        headers.append("server-timing", HeaderValue::from_static(field));
    }
    assert_eq!(Phases::of(&headers).0[5], Some(ms(1)));
    headers.insert("x-spawnpoint-start", HeaderValue::from_static("spawned"));
    assert_eq!(start_of(&headers), Some(Start::Spawned));
    headers.insert("x-spawnpoint-start", HeaderValue::from_static("lukewarm"));
    assert_eq!(start_of(&headers), None);
}

#[test]
fn quantiles_are_to_three_digits() {
    let mut times = Times::new().unwrap();
    (1..=1_000).for_each(|us| times.record(Duration::from_micros(us)));
    let quantiles = times.quantiles();
    for (found, expected) in [
        (quantiles.p50_us, 500.0),
        (quantiles.p90_us, 900.0),
        (quantiles.p99_9_us, 999.0),
        (quantiles.max_us, 1e3),
    ] {
        assert!((found - expected).abs() <= expected / 500.0, "{quantiles:?}");
    }
    times.record_many(Duration::from_secs(1_000), 3);
    assert_eq!(times.count(), 1_003);
    assert!((times.quantiles().max_us - 120e6).abs() < 1e6, "what is too long is the longest");
}

#[test]
fn salted_copies_are_valid_and_differ() {
    let module = b"\0asm\x01\0\0\0";
    let copies = [salted(module, 1), salted(module, u64::MAX)];
    assert_ne!(copies[0], copies[1]);
    for copy in copies {
        wasmparser::validate(&copy).unwrap();
    }
}

fn answer(status: u16, code: Option<&str>, start: Option<Start>) -> Answer {
    let now = Instant::now();
    let phases = Phases::parse("route;dur=1, guest;dur=2");
    Answer { status, code: code.map(str::to_owned), start, phases, head_at: now, end_at: now, bytes: 3 }
}

fn tally() -> Tally {
    let mut tally = Tally::new().unwrap();
    let took = Took { first_byte: ms(1), whole: ms(2) };
    tally.answer(&answer(200, None, Some(Start::Warm)), took);
    tally.answer(&answer(200, None, None), took);
    tally.answer(&answer(502, Some("guest_trap"), Some(Start::Warm)), took);
    tally.answer(&answer(418, None, Some(Start::Warm)), took);
    tally.error(&CallError::Timeout(ms(5)), ms(5));
    tally.cut(ms(7));
    tally
}

#[test]
fn calls_are_counted_by_what_came_of_them() {
    let one = tally();
    let mut two = one.clone();
    two.merge(&one);
    for (tally, times) in [(one, 1), (two, 2)] {
        assert_eq!((tally.sent, tally.answered, tally.failed()), (6 * times, 2 * times, 4 * times));
        assert_eq!(tally.latency.count(), 4 * times, "two answers and two waits without one");
        let groups: BTreeMap<_, _> =
            tally.groups().map(|(start, group)| (start, group.whole.count())).collect();
        assert_eq!(groups, BTreeMap::from([(Some("warm"), times), (None, times)]));
        let failures: Vec<_> = tally
            .failures
            .iter()
            .map(|(failure, count)| (failure.status, failure.code.as_str(), *count))
            .collect();
        let expected =
            [(None, "client_timeout", times), (Some(418), "", times), (Some(502), "guest_trap", times)];
        assert_eq!(failures, expected);
        assert_eq!(tally.first_failure.as_deref(), Some("status 502 guest_trap"));
    }
}

#[test]
fn kinds_of_failures_are_bounded() {
    let mut tally = Tally::new().unwrap();
    let took = Took { first_byte: ms(1), whole: ms(1) };
    for number in 0..200 {
        let code = format!("{number}{}", "x".repeat(1_000));
        tally.answer(&answer(500, Some(&code), None), took);
    }
    assert!(tally.failures.len() <= 65, "{}", tally.failures.len());
    assert!(tally.failures.keys().all(|failure| failure.code.len() <= 64));
    assert_eq!(tally.failures.values().sum::<u64>(), 200);
}

#[test]
fn a_page_holds_all_it_needs_and_nothing_that_marks_up() {
    let hostile = "http://h/<script src=http://x>'\"&";
    let tally = tally();
    let target = Target {
        address: "127.0.0.1:1".parse().unwrap(),
        host: HeaderValue::from_static("h"),
        paths: vec![Uri::from_static("/")],
        patience: ms(1),
    };
    let plan = Plan { target, rate: Some(10.0), connections: 1, lasts: ms(100), zipf: 0.0 };
    let measured = load::Measured { tally: tally.clone(), seconds: 0.1, cpu_seconds: 0.0 };
    let asked = vec![Asked { dropped: "program", answered: BTreeMap::from([("warm", 1)]) }];
    let report = Report {
        url: hostile.to_owned(),
        client: hostile.to_owned(),
        interrupted: true,
        load: Some(LoadReport::new(&plan, &measured)),
        cold: Some(ColdReport::new(1, asked, &tally)),
        functions: None,
        notes: vec![hostile.to_owned()],
    };
    let page = page(&report);
    assert!(!page.contains("<script") && !page.contains("NaN") && !page.contains("inf"), "{page}");
    assert!(page.contains("&#60;script src=http://x&#62;&#39;&#34;&#38;"), "{page}");
    for outside in [" src=\"", " href=\"", "url(", "@import"] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
    assert!(page.matches("<svg").count() >= 5, "{page}");
    let notes = report.cold.unwrap().notes();
    assert!(notes[0].contains("1 calls after a drop of the program were not cold"), "{notes:?}");
}

#[test]
fn pictures_of_nothing_are_pictures() {
    let axes = (Scale::log(1.0, 1.0), Scale::share());
    assert!(curves((&axes.0, &axes.1), &[Curve(vec![])]).starts_with("<svg"));
    assert!(bars(&[]).starts_with("<svg"));
    let bar = Bar { series: 9, took: Times::new().unwrap().quantiles() };
    let picture = bars(&[("<p>", vec![bar])]);
    assert!(picture.contains("&#60;p&#62;") && !picture.contains("NaN"), "{picture}");
}

/// A server that answers each connection's calls with these texts in turn, waiting for so long before each.
fn server(answers: &'static [&'static str], wait: Duration) -> std::net::SocketAddr {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut bytes = [0; 4096];
                for answer in answers.iter().cycle() {
                    if !matches!(stream.read(&mut bytes), Ok(1..)) {
                        return;
                    }
                    std::thread::sleep(wait);
                    if stream.write_all(answer.as_bytes()).is_err() || answer.contains("close") {
                        return;
                    }
                }
            });
        }
    });
    address
}

fn target(address: std::net::SocketAddr) -> Target {
    let host = HeaderValue::try_from(address.to_string()).unwrap();
    Target { address, host, paths: vec![Uri::from_static("/a?b")], patience: Duration::from_secs(20) }
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-spawnpoint-start: warm\r\n\r\nok";
const LAST: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";

#[tokio::test]
async fn an_open_load_asks_at_its_rate_and_what_waits_counts() {
    // One connection and 50 ms an answer: of 100 calls a second, most find no connection.
    let plan = Plan {
        target: target(server(&[OK], ms(50))),
        rate: Some(100.0),
        connections: 1,
        lasts: ms(500),
        zipf: 0.0,
    };
    let measured = load::start(plan).unwrap().end().await.unwrap();
    let tally = &measured.tally;
    assert_eq!(tally.sent + tally.unsent, 50, "{tally:?}");
    assert!(tally.unsent > 25 && tally.delayed > 0, "{} {}", tally.unsent, tally.delayed);
    assert_eq!(tally.latency.count(), 50, "none is left out");
    assert!(tally.latency.quantiles().max_us > 150_000.0, "a wait is longer than an answer");
}

#[tokio::test]
async fn a_closed_load_asks_when_it_was_answered_and_opens_what_was_closed() {
    let plan = Plan {
        target: target(server(&[OK, LAST], ms(1))),
        rate: None,
        connections: 2,
        lasts: ms(300),
        zipf: 0.0,
    };
    let measured = load::start(plan).unwrap().end().await.unwrap();
    let tally = &measured.tally;
    assert!(tally.answered > 2 && tally.reconnects > 0, "{tally:?}");
    assert_eq!((tally.failed(), tally.unsent, tally.latency.count()), (0, 0, tally.answered));
    assert_eq!(tally.bytes, tally.answered * 2);
}

#[tokio::test]
async fn a_load_that_is_stopped_says_what_it_had() {
    let plan = Plan {
        target: target(server(&[OK], ms(1))),
        rate: Some(50.0),
        connections: 4,
        lasts: Duration::from_mins(50),
        zipf: 0.0,
    };
    let mut running = load::start(plan).unwrap();
    while running.ended() < 5 {
        tokio::time::sleep(ms(5)).await;
    }
    running.stop();
    let measured = running.end().await.unwrap();
    assert!(measured.tally.answered >= 5 && measured.seconds < 60.0, "{measured:?}");
}

#[tokio::test]
async fn without_a_server_each_call_says_so() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let plan = Plan { target: target(gone), rate: Some(100.0), connections: 2, lasts: ms(200), zipf: 0.0 };
    let measured = load::start(plan).unwrap().end().await.unwrap();
    assert_eq!(measured.tally.answered, 0);
    let kinds: Vec<_> = measured.tally.failures.keys().map(|failure| failure.code.as_str()).collect();
    assert_eq!(kinds, ["connect"]);
    assert!(measured.tally.first_failure.unwrap().contains("takes no connection"));
}

#[tokio::test]
async fn a_call_that_takes_too_long_is_cut() {
    let mut target = target(server(&[OK], Duration::from_secs(30)));
    target.patience = ms(50);
    let mut caller = Caller::new();
    let error = caller.call(&target, 0).await.unwrap_err();
    assert!(matches!(error, CallError::Timeout(_)), "{error}");
}
