//! Where the time went: `server-timing` of one answer, and the histograms of all of them at `/metrics`.
//! Must never say how fast anything is: only that what is told adds up.

use std::collections::BTreeMap;
use std::time::Instant;

use super::support::{Answer, Config, Server, get, guest, request};

/// The phases of an answer, in order, in microseconds.
#[track_caller]
fn phases(answer: &Answer) -> Vec<(String, u64)> {
    let timing = answer.header("server-timing");
    let phase = |text: &str| {
        let (name, rest) = text.trim().split_once(";dur=")?;
        let (ms, decimals) = rest.split(';').next()?.split_once('.')?;
        Some((name.to_owned(), ms.parse::<u64>().ok()? * 1_000 + decimals.parse::<u64>().ok()?))
    };
    timing.split(',').map(|text| phase(text).unwrap_or_else(|| panic!("{text} in {timing}"))).collect()
}

fn names(answer: &Answer) -> Vec<String> {
    phases(answer).into_iter().map(|(name, _)| name).collect()
}

/// Without what a call waits for where it was not taken for a short one.
fn without_turns(answer: &Answer) -> Vec<String> {
    names(answer).into_iter().filter(|name| name != "lane").collect()
}

fn sum_us(answer: &Answer) -> u64 {
    phases(answer).into_iter().map(|(_, us)| us).sum()
}

#[track_caller]
fn make_cold(server: &Server, function: &str) {
    let target = format!("{}/cold", Server::path(function));
    let json = [("content-type", "application/json")];
    assert_eq!(server.admin("POST", &target, &json, br#"{"drop":"program"}"#).status, 200);
}

/// One histogram: its buckets by bound, its sum in seconds and its count.
#[derive(Debug, Default)]
struct Histogram {
    buckets: Vec<(f64, u64)>,
    sum: f64,
    count: u64,
}

/// Every histogram at `/metrics`, by its name and its labels without `le`.
fn histograms(server: &Server) -> BTreeMap<(String, String), Histogram> {
    let mut all: BTreeMap<_, Histogram> = BTreeMap::new();
    for line in get(server.admin, "/metrics").text().lines().filter(|line| line.contains("_seconds_")) {
        let (series, value) = line.rsplit_once(' ').expect("a value");
        let (name, labels) = series.trim_end_matches('}').split_once('{').expect("labels");
        let (name, part) = name.rsplit_once('_').expect("a part");
        let mut le = None;
        let others = labels.split(',').filter(|label| match label.strip_prefix("le=") {
            Some(bound) => {
                le = bound.trim_matches('"').parse::<f64>().ok();
                false
            }
            None => true,
        });
        let others = others.collect::<Vec<_>>().join(",");
        let histogram = all.entry((name.to_owned(), others)).or_default();
        match part {
            "bucket" => histogram.buckets.push((le.expect("a bound"), value.parse().expect("a count"))),
            "sum" => histogram.sum = value.parse().expect("seconds"),
            "count" => histogram.count = value.parse().expect("a count"),
            other => panic!("{other} in {line}"),
        }
    }
    all
}

const PHASES: &str = "spawnpoint_request_phase_seconds";
const FIRST_BYTE: &str = "spawnpoint_request_first_byte_seconds";

#[test]
fn the_phases_of_an_answer_are_all_of_the_servers_time_and_no_more_than_the_clients() {
    let server = Server::start();
    server.deploy("f", &guest("sleep"));
    for cold in [true, false] {
        if cold {
            make_cold(&server, "f");
        }
        let began = Instant::now();
        let answer = get(server.ingress, "/default/f/?ms=50");
        let seen = u64::try_from(began.elapsed().as_micros()).expect("microseconds");
        assert_eq!(answer.status, 200);
        let load = if cold { vec!["load"] } else { vec![] };
        let wanted = [vec!["route", "queue"], load, vec!["spawn", "guest"]].concat();
        assert_eq!(without_turns(&answer), wanted, "{:?}", answer.headers);
        assert!((50_000..=seen).contains(&sum_us(&answer)), "{:?}, seen {seen}", phases(&answer));
        let own = |(name, _): &(String, u64)| name == "lane" || name == "guest";
        let slept: u64 = phases(&answer).into_iter().filter(own).map(|(_, us)| us).sum();
        assert!(slept >= 50_000, "what the guest sleeps is its own: {:?}", phases(&answer));
    }
}

#[test]
fn a_refusal_tells_how_long_it_was_waited_for() {
    let server = Server::with(Config::default().toml("threads = 1\n[server]\ninstances = 1"));
    server.deploy("f", &guest("sleep"));
    let answers: Vec<_> = std::thread::scope(|scope| {
        let call = || get(server.ingress, "/default/f/?ms=400");
        let calls: Vec<_> = (0..3).map(|_| scope.spawn(call)).collect();
        calls.into_iter().map(|call| call.join().expect("an answer")).collect()
    });
    let refused: Vec<_> = answers.iter().filter(|answer| answer.code() == "overloaded").collect();
    assert!(!refused.is_empty(), "{answers:?}");
    for answer in refused {
        assert_eq!(names(answer)[..2], ["route", "queue"], "{:?}", answer.headers);
    }
    // One that waits at all is refused after 5 ms at the soonest, and says so.
    assert!(answers.iter().any(|answer| answer.code() == "overloaded" && sum_us(answer) >= 5_000));
}

#[test]
fn the_first_attempt_of_a_call_that_is_made_twice_is_a_guests_time_too() {
    let server = Server::start();
    let retry = r#"{"retry": {"enabled": true}, "breaker": {"enabled": false}}"#;
    server.deploy_with("f", &guest("flaky"), retry);
    let began = Instant::now();
    let answer = get(server.ingress, "/default/f/");
    let seen = u64::try_from(began.elapsed().as_micros()).expect("microseconds");
    assert_eq!((answer.status, answer.header("x-spawnpoint-retries")), (200, "1"));
    assert!(sum_us(&answer) <= seen, "{:?}, seen {seen}", phases(&answer));
}

#[test]
fn a_function_may_keep_its_times_to_itself() {
    let server = Server::with(Config::default().toml("threads = 1"));
    let silent = r#"{"server_timing": false, "breaker": {"enabled": false},
        "limits": {"request_body_bytes": 10, "requests_per_second": 1, "burst": 3}}"#;
    server.deploy_with("f", &guest("unreachable"), silent);
    server.deploy("tells", &guest("ok"));
    let trapped = server.call("f");
    let too_large = request(server.ingress, "POST", "/default/f/", &[], &[0; 11]);
    server.call("f");
    let limited = server.call("f");
    for (answer, code) in
        [(&trapped, "guest_trap"), (&too_large, "payload_too_large"), (&limited, "rate_limited")]
    {
        assert_eq!((answer.code(), answer.all("server-timing").len()), (code, 0), "{:?}", answer.headers);
        assert_ne!(answer.header("x-request-id"), "");
    }
    assert_eq!(trapped.all("x-spawnpoint-start").len(), 1);
    assert_ne!(server.call("tells").header("server-timing"), "");
    // What reached no function is nobody's to keep.
    assert_ne!(server.call("nobody").header("server-timing"), "");
    // A version may be of another mind.
    server.deploy_with("f", &guest("ok"), r#"{"server_timing": true}"#);
    assert_eq!(names(&server.call("f")).last().expect("a phase"), "guest");
}

#[test]
fn an_operator_may_have_times_told_only_where_a_manifest_asks_for_it() {
    let server = Server::with(Config::default().toml("server_timing = false"));
    server.deploy("f", &guest("ok"));
    server.deploy_with("tells", &guest("ok"), r#"{"server_timing": true}"#);
    assert_eq!(server.call("f").header("server-timing"), "");
    assert_ne!(server.call("tells").header("server-timing"), "");
    let refused = server.upload_with("default", "g", &guest("ok"), r#"{"server_timing": "no"}"#);
    assert_eq!(refused.code(), "invalid_manifest", "{}", refused.text());
}

#[test]
fn every_answer_is_in_one_bucket_of_each_phase_that_it_went_through() {
    let server = Server::with(Config::default().toml("threads = 2"));
    server.deploy("f", &guest("ok"));
    server.deploy_with("again", &guest("ok"), r#"{"reuse": {"max_requests": 1000}}"#);
    let (mut by_start, mut by_phase) = (BTreeMap::new(), BTreeMap::new());
    let (mut all_us, mut requests) = (0, 0_u64);
    for n in 0..60 {
        if n % 20 == 0 {
            make_cold(&server, "f");
        }
        for target in ["/default/f/", "/default/again/", "/default/nobody/"] {
            let answer = get(server.ingress, target);
            let start = answer.header("x-spawnpoint-start");
            let start = if start.is_empty() { "none" } else { start }.to_owned();
            for (phase, _) in phases(&answer) {
                *by_phase.entry((phase, start.clone())).or_insert(0_u64) += 1;
            }
            *by_start.entry(start).or_insert(0_u64) += 1;
            all_us += sum_us(&answer);
            requests += 1;
        }
    }
    let starts: Vec<_> = by_start.keys().map(String::as_str).collect();
    assert!(["cold", "none", "reused"].iter().all(|start| starts.contains(start)), "{starts:?}");
    let found = histograms(&server);
    for ((name, labels), Histogram { buckets, sum, count }) in &found {
        let mut before = (0.0, 0);
        for &(bound, so_far) in buckets {
            assert!(bound > before.0 && so_far >= before.1, "{name} {labels}: {buckets:?}");
            before = (bound, so_far);
        }
        assert_eq!(before, (f64::INFINITY, *count), "{name} {labels}");
        assert!(*sum > 0.0, "{name} {labels}");
    }
    let count = |name: &str, labels: String| found.get(&(name.to_owned(), labels)).map_or(0, |one| one.count);
    for ((phase, start), wanted) in &by_phase {
        let labels = format!("phase=\"{phase}\",start=\"{start}\"");
        assert_eq!(count(PHASES, labels), *wanted, "{phase} {start} of {by_phase:?}");
    }
    for (start, wanted) in &by_start {
        assert_eq!(count(FIRST_BYTE, format!("start=\"{start}\"")), *wanted, "{start}");
    }
    let sums = |name: &str| {
        let of = found.iter().filter(|((each, _), _)| each == name);
        of.fold((0.0, 0), |(sum, count), (_, one)| (sum + one.sum, count + one.count))
    };
    let (seconds, answers) = sums(FIRST_BYTE);
    assert_eq!(answers, requests);
    // Phases are all of the time, and what answers said of it was cut to microseconds.
    assert!((sums(PHASES).0 - seconds).abs() < 1e-6, "{} {seconds}", sums(PHASES).0);
    let told = f64::from(u32::try_from(all_us).expect("not that slow")) / 1e6;
    assert!((seconds - told).abs() <= f64::from(u32::try_from(requests).unwrap()) / 1e6 + 1e-6);
    // Neither a function nor a tenant makes them more.
    assert!(found.keys().all(|(_, labels)| !labels.contains("function")), "{:?}", found.keys());
}
