//! A function that is paused answers nobody, costs no instance, and is there again when it is resumed.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};

use super::support::wasm::stamped;
use super::support::{Answer, H2, Raw, Server, eventually, get, guest};

/// A server with a function of so many versions, of which the last answers.
fn with_versions(count: u32) -> Server {
    let server = Server::start();
    for version in 1..=count {
        server.deploy("f", &stamped(&guest("ok"), version));
    }
    server
}

#[track_caller]
fn done(server: &Server, action: &str) -> Answer {
    let answer = server.admin("POST", &format!("{}/{action}", Server::path("f")), &[], &[]);
    assert_eq!(answer.status, 200, "{action}: {}", answer.text());
    answer
}

#[track_caller]
fn is_paused(answer: &Answer) {
    assert_eq!((answer.status, answer.code()), (503, "paused"), "{}", answer.text());
    assert_eq!(answer.header("retry-after"), "60", "until a person says so");
    assert_eq!(answer.header("x-spawnpoint-start"), "", "no guest ran");
    assert_eq!(
        (answer.json()["code"].as_str(), answer.json()["status"].as_u64()),
        (Some("paused"), Some(503))
    );
}

#[test]
fn a_paused_function_answers_nobody_until_it_is_resumed() {
    let server = with_versions(1);
    server.deploy("other", &guest("counter"));
    let (mut raw, h2) = (Raw::connect(server.ingress), H2::connect(server.ingress));
    let mut ask = || raw.get("/default/f/").expect("an answer, and an open connection");
    assert_eq!(ask().text(), "ok");
    assert_eq!(server.shown("f").json()["paused"], false);
    for round in 0..3 {
        assert_eq!(done(&server, "pause").json()["paused"], true);
        is_paused(&ask());
        is_paused(&h2.get("http://f.default.localhost/").expect("an answer"));
        is_paused(&server.call("f"));
        assert_eq!(server.call("other").status, 200, "round {round}");
        let listed = server.admin("GET", "/v1/tenants/default/functions", &[], &[]).json();
        assert_eq!(
            (&listed["functions"][0]["paused"], &listed["functions"][1]["paused"]),
            (&true.into(), &false.into())
        );
        assert_eq!(done(&server, "resume").json()["paused"], false);
        assert_eq!(ask().text(), "ok", "round {round}");
        assert_eq!(h2.get("http://f.default.localhost/").expect("an answer").text(), "ok");
    }
    assert_eq!(server.metric("spawnpoint_requests_rejected_total", "code=\"paused\""), 9.0);
    assert_eq!(server.failed("paused"), 0.0);
}

#[test]
fn no_request_reaches_the_guest_once_a_pause_was_answered() {
    let server = with_versions(1);
    // Odd while the function is paused: from when that was answered until somebody is about to resume it.
    let (turn, ended) = (AtomicU32::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut raw = Raw::connect(server.ingress);
                while !ended.load(SeqCst) {
                    let before = turn.load(SeqCst);
                    let answer = raw.get("/default/f/").expect("an answer, and an open connection");
                    let is = answer.code() == "paused";
                    assert!(is || answer.text() == "ok", "{} {}", answer.status, answer.text());
                    assert!(is || before % 2 == 0 || turn.load(SeqCst) != before, "at turn {before}");
                }
            });
        }
        for _ in 0..20 {
            done(&server, "pause");
            turn.fetch_add(1, SeqCst);
            is_paused(&server.call("f"));
            turn.fetch_add(1, SeqCst);
            done(&server, "resume");
            assert_eq!(server.call("f").text(), "ok");
        }
        ended.store(true, SeqCst);
    });
}

#[test]
fn a_request_in_progress_ends_as_it_will() {
    let server = Server::start();
    server.deploy("f", &guest("drip"));
    let mut raw = Raw::connect(server.ingress);
    raw.send(format!("GET /default/f/ HTTP/1.1\r\nhost: {}\r\n\r\n", server.ingress));
    assert!(raw.head().is_some_and(|head| head.starts_with("HTTP/1.1 200")));
    assert!(!raw.chunk().expect("a byte").is_empty());
    done(&server, "pause");
    is_paused(&server.call("f"));
    for _ in 0..5 {
        assert!(!raw.chunk().expect("a byte").is_empty());
    }
}

#[test]
fn a_paused_function_holds_no_instance() {
    let server = with_versions(1);
    let memory = || server.metric("spawnpoint_tenant_memory_bytes", "tenant=\"default\"");
    eventually("an instance is ready", || {
        server.call("f").header("x-spawnpoint-start") == "warm" && memory() > 0.0
    });
    done(&server, "pause");
    is_paused(&server.call("f"));
    eventually("what was ready is gone", || memory() == 0.0);
    done(&server, "resume");
    // The program was kept, the instances were not.
    assert_eq!(server.call("f").header("x-spawnpoint-start"), "spawned");
}

#[test]
fn a_pause_survives_a_kill_and_so_does_its_end() {
    let mut server = with_versions(2);
    let etag = done(&server, "pause").header("etag").to_owned();
    server.kill();
    server.start_again();
    is_paused(&server.call("f"));
    let shown = server.shown("f");
    assert_eq!((shown.header("etag"), &shown.json()["paused"]), (etag.as_str(), &true.into()));
    done(&server, "resume");
    server.kill();
    server.start_again();
    assert_eq!(server.call("f").header("x-spawnpoint-version"), "2");
}

#[test]
fn a_deploy_and_an_activation_leave_it_paused() {
    let server = with_versions(2);
    done(&server, "pause");
    let deployed = server.deploy("f", &stamped(&guest("ok"), 3));
    assert_eq!((deployed.status, &deployed.json()["paused"]), (201, &true.into()));
    is_paused(&server.call("f"));
    let moved = server.activate("f", r#"{"version":1}"#);
    assert_eq!((moved.status, &moved.json()["paused"]), (200, &true.into()));
    is_paused(&server.call("f"));
    let refused = server.upload("f", b"no wasm");
    assert_eq!(refused.status, 422, "what is wrong is said of a paused one too");
    done(&server, "resume");
    assert_eq!(server.call("f").header("x-spawnpoint-version"), "1");
    assert!(server.deploy("f", &stamped(&guest("ok"), 4)).json()["paused"].is_null());
    // One that goes takes its pause along.
    done(&server, "pause");
    assert_eq!(server.admin("DELETE", &Server::path("f"), &[], &[]).status, 204);
    assert_eq!(server.call("f").code(), "no_route");
    server.deploy("f", &guest("ok"));
    assert_eq!(server.call("f").text(), "ok");
}

#[test]
fn pausing_twice_is_pausing_and_a_stale_etag_pauses_nothing() {
    let server = with_versions(2);
    let put = |action: &str, tag: &str| {
        server.admin("POST", &format!("{}/{action}", Server::path("f")), &[("if-match", tag)], &[])
    };
    for (action, tag, status, moved) in [
        ("pause", "\"1\"", 412, ""),
        ("pause", "W/\"2\"", 412, ""),
        ("pause", "2", 400, ""),
        ("resume", "\"2\"", 200, "\"2\""),
        ("pause", "\"2\"", 200, "\"3\""),
        ("pause", "\"3\"", 200, "\"3\""),
        ("pause", "\"2\"", 412, ""),
        ("resume", "\"2\"", 412, ""),
        ("resume", "*", 200, "\"4\""),
        ("resume", "\"3\", \"4\"", 200, "\"4\""),
    ] {
        let answer = put(action, tag);
        assert_eq!(
            (answer.status, answer.header("etag")),
            (status, moved),
            "{action} {tag}: {}",
            answer.text()
        );
    }
    // Who has seen it before the pause moves nothing after it.
    let seen = server.shown("f").header("etag").to_owned();
    done(&server, "pause");
    let target = format!("{}/activation", Server::path("f"));
    let stale = server.admin("PUT", &target, &[("if-match", &seen)], br#"{"version":1}"#);
    assert_eq!((stale.status, stale.code()), (412, "precondition_failed"), "{}", stale.text());
    for action in ["pause", "resume"] {
        let answer = server.admin("POST", &format!("{}/{action}", Server::path("nothing")), &[], &[]);
        assert_eq!((answer.status, answer.code()), (404, "no_such_function"));
        let answer = server.admin("GET", &format!("{}/{action}", Server::path("f")), &[], &[]);
        assert_eq!((answer.status, answer.code()), (405, "method_not_allowed"));
    }
}

#[test]
fn a_pause_comes_before_what_else_would_refuse_a_request() {
    let server = Server::start();
    server.deploy_with("f", &guest("counter"), r#"{"limits": {"request_body_bytes": 10}}"#);
    while get(server.ingress, "/default/f/?trap").code() != "breaker_open" {}
    done(&server, "pause");
    is_paused(&server.call("f"));
    // A deploy of what heals it, before anybody may call it again.
    server.deploy("f", &guest("ok"));
    done(&server, "resume");
    assert_eq!(server.call("f").text(), "ok");
}
