//! Who is let in: rates, requests at once, instances and memory, for a function and for all of a tenant's.
//! Must never let one tenant's greed be another's failure.

use std::time::Duration;

use crate::support::{Answer, Config, Raw, Server, eventually, get, guest};

/// A server with a tenant that behaves.
fn serving(config: Config) -> Server {
    let server = Server::with(config);
    server.tenant("good");
    assert_eq!(server.upload_with("good", "ok", &guest("ok"), "{}").status, 201);
    server
}

#[track_caller]
fn is(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.code()), (status, code), "{}", answer.text());
    assert_eq!(answer.header("retry-after").is_empty(), !matches!(status, 429 | 503));
}

/// A request that is not waited for.
fn begin(server: &Server, target: &str) -> Raw {
    let mut raw = Raw::connect(server.ingress);
    raw.send(format!("GET {target} HTTP/1.1\r\nhost: a.test\r\n\r\n"));
    raw
}

#[test]
fn a_function_is_asked_as_often_as_its_manifest_says() {
    let server = serving(Config::default());
    server.deploy_with("f", &guest("ok"), r#"{"limits": {"requests_per_second": 1, "burst": 3}}"#);
    for _ in 0..3 {
        assert_eq!(server.call("f").status, 200);
    }
    let refused = server.call("f");
    is(&refused, 429, "rate_limited");
    assert_eq!(get(server.ingress, "/good/ok/").status, 200);
    // What it was told is true.
    let seconds = refused.header("retry-after").parse().expect("seconds");
    assert_eq!(seconds, 1);
    std::thread::sleep(Duration::from_secs(seconds));
    assert_eq!(server.call("f").status, 200);
    server.deploy_with("f", &guest("ok"), "{}");
    assert!((0..20).all(|_| server.call("f").status == 200), "a new version has its own rate");
}

#[test]
fn an_operator_bounds_the_rate_that_a_manifest_asks_for() {
    let server = serving(Config::default().toml("[ceiling]\nrequests_per_second = 5\nburst = 2"));
    for manifest in [r#"{"limits": {"requests_per_second": 6}}"#, r#"{"limits": {"burst": 3}}"#] {
        let answer = server.upload_with("default", "f", &guest("ok"), manifest);
        assert_eq!((answer.status, answer.code()), (400, "invalid_limit"), "{}", answer.text());
    }
    // Who asks for none gets the most there is.
    server.deploy("f", &guest("ok"));
    let answers: Vec<_> = (0..10).map(|_| server.call("f").status).collect();
    assert_eq!(answers[..2], [200, 200]);
    assert!(answers.contains(&429), "{answers:?}");
}

#[test]
fn all_functions_of_a_tenant_share_its_rate_and_others_have_their_own() {
    let config = "[tenant]\nrequests_per_second = 1\nburst = 2\n[tenants.good]\nweight = 2";
    let server = serving(Config::default().toml(config));
    server.deploy("f", &guest("ok"));
    server.deploy("g", &guest("ok"));
    assert_eq!((server.call("f").status, server.call("g").status), (200, 200));
    is(&server.call("f"), 429, "rate_limited");
    assert!((0..20).all(|_| get(server.ingress, "/good/ok/").status == 200));
    eventually("it recovers", || server.call("g").status == 200);
}

#[test]
fn all_functions_of_a_tenant_share_its_requests_at_once() {
    let server = serving(Config::default().toml("[tenant]\nconcurrent_requests = 2"));
    server.deploy("f", &guest("drip"));
    server.deploy("g", &guest("drip"));
    server.deploy("ok", &guest("ok"));
    let mut held = vec![begin(&server, "/default/f/"), begin(&server, "/default/g/")];
    assert!(held.iter_mut().all(|raw| raw.head().expect("a head").contains(" 200 ")));
    is(&server.call("ok"), 429, "throttled");
    assert_eq!(get(server.ingress, "/good/ok/").status, 200);
    held.pop();
    eventually("there is room", || server.call("ok").status == 200);
}

#[test]
fn one_too_many_waits_a_moment_for_its_turn() {
    let server = serving(Config::default());
    server.deploy_with("f", &guest("sleep"), r#"{"limits": {"concurrent_requests": 1}}"#);
    // Each takes less than anybody waits, so three at once are all answered.
    let mut raws: Vec<_> = (0..3).map(|_| begin(&server, "/default/f/?ms=10")).collect();
    let answers: Vec<_> = raws.iter_mut().map(|raw| raw.answer().expect("an answer")).collect();
    let well = answers.iter().filter(|answer| answer.status == 200);
    // On a machine that is busy with something else one of them may have waited too long.
    assert!(well.count() >= 2, "{answers:?}");
}
