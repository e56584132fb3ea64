//! Where the time went: `server-timing` of one answer.
//! Must never say how fast anything is: only that what is told adds up.

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

fn sum_us(answer: &Answer) -> u64 {
    phases(answer).into_iter().map(|(_, us)| us).sum()
}

#[track_caller]
fn make_cold(server: &Server, function: &str) {
    let target = format!("{}/cold", Server::path(function));
    let json = [("content-type", "application/json")];
    assert_eq!(server.admin("POST", &target, &json, br#"{"drop":"program"}"#).status, 200);
}

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
        assert_eq!(names(&answer), wanted, "{:?}", answer.headers);
        assert!((50_000..=seen).contains(&sum_us(&answer)), "{:?}, seen {seen}", phases(&answer));
        let guest = phases(&answer).pop().expect("a phase").1;
        assert!(guest >= 50_000, "what the guest sleeps is its own: {guest}");
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
