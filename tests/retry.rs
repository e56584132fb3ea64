//! A call that failed may be answered by another instance, where its function asks for that and nobody can tell.
//! Must never need luck: the guest fails the first time, and knows the second one.

use serde_json::Value;

use crate::support::cli::Cli;
use crate::support::{Config, Raw, Server, eventually, get, guest, request};

const RETRY: &str =
    r#"{"retry": {"enabled": true}, "breaker": {"enabled": false}, "limits": {"cpu_ms": 100}}"#;

fn serving(manifest: &str) -> Server {
    let server = Server::with(Config::default().flag("--threads", "1"));
    server.deploy_with("f", &guest("flaky"), manifest);
    server
}

fn ask(server: &Server, method: &str, query: &str, body: &[u8]) -> crate::support::Answer {
    request(server.ingress, method, &format!("/default/f/{query}"), &[], body)
}

#[test]
fn a_call_that_failed_is_answered_by_another_instance() {
    let server = serving(RETRY);
    let answer = get(server.ingress, "/default/f/");
    assert_eq!((answer.status, answer.text().as_str()), (200, "0"));
    assert_eq!(answer.header("x-spawnpoint-retries"), "1");
    // What failed is counted and kept all the same.
    eventually("the failure is counted", || server.failed("guest_trap") == 1.0);
    let (first, said) = failed_attempt(&server, &answer);
    assert_eq!(
        (&first["code"], &first["attempt"], &first["retried"]),
        (&"guest_trap".into(), &1.into(), &"ok".into()),
        "{first}"
    );
    assert!(said.contains("a second one, on a fresh instance, went well"), "{said}");
    let list = Cli::at(&server, &["failures", "f"]).ok();
    assert!(list.out.contains("1, then ok"), "{}", list.out);
}

/// The record of the first attempt at a call, and what a person is told of the call.
#[track_caller]
fn failed_attempt(server: &Server, answer: &crate::support::Answer) -> (Value, String) {
    let id = answer.header("x-request-id");
    let record = server.admin("GET", &format!("/v1/invocations/{id}"), &[], b"");
    assert_eq!(record.status, 200, "{}", record.text());
    let last = record.json();
    let said = Cli::at(server, &["explain", id]).ok().out;
    // A good call may be one of the sample, and is then the last attempt of which there is a record.
    let first = if last["attempt"] == 1 { last } else { last["earlier"].clone() };
    (first, said)
}

#[test]
fn a_call_that_failed_twice_says_so_in_its_answer_and_its_records() {
    let server = serving(RETRY);
    let answer = ask(&server, "GET", "?fails=always", b"");
    assert_eq!((answer.status, answer.code()), (502, "guest_trap"));
    assert_eq!(answer.header("x-spawnpoint-retries"), "1");
    let (first, said) = failed_attempt(&server, &answer);
    assert_eq!((&first["code"], &first["retried"]), (&"guest_trap".into(), &"guest_trap".into()), "{first}");
    assert!(
        said.contains("It was the second attempt at the call: the first one ended as guest_trap."),
        "{said}"
    );
    assert!(said.contains("the second one ended as guest_trap, which the caller was answered"), "{said}");
    let list = server.admin("GET", &format!("{}/failures", Server::path("f")), &[], b"").json();
    let attempts: Vec<_> =
        list["failures"].as_array().expect("a list").iter().map(|each| each["attempt"].clone()).collect();
    assert_eq!(attempts, [2, 1], "{list}");
    // One that is asked once says nothing of it.
    let once = ask(&server, "POST", "?fails=always", b"");
    assert_eq!(once.header("x-spawnpoint-retries"), "");
    let (only, said) = failed_attempt(&server, &once);
    assert_eq!((&only["attempt"], &only["retried"]), (&1.into(), &Value::Null), "{only}");
    assert!(!said.contains("attempt"), "{said}");
}

#[test]
fn a_small_body_is_given_again() {
    let server = serving(RETRY);
    assert_eq!(ask(&server, "PUT", "", &vec![7; 60_000]).text(), "60000");
    // A larger one is gone when the guest fails.
    let large = ask(&server, "PUT", "", &vec![7; 70_000]);
    assert_eq!((large.status, large.code()), (502, "guest_trap"));
}

#[test]
fn what_a_client_would_not_repeat_is_not_repeated() {
    let server = serving(RETRY);
    for method in ["POST", "PATCH"] {
        let answer = ask(&server, method, "", b"");
        assert_eq!((answer.status, answer.code()), (502, "guest_trap"), "{method}");
    }
    for method in ["DELETE", "OPTIONS", "GET", "PUT"] {
        assert_eq!(ask(&server, method, "", b"").status, 200, "{method}");
    }
}

#[test]
fn a_body_that_never_comes_ends_as_it_would_without_retries_and_holds_no_instance() {
    let limits = r#""limits": {"cpu_ms": 100, "wall_ms": 1000}"#;
    for manifest in [format!(r#"{{"retry": {{"enabled": true}}, {limits}}}"#), format!("{{{limits}}}")] {
        let server = Server::with(Config::default().flag("--threads", "1"));
        server.deploy_with("f", &guest("read_slowly"), &manifest);
        let mut raw = Raw::connect(server.ingress);
        raw.send("PUT /default/f/?n=100&ms=1 HTTP/1.1\r\nhost: a.test\r\ncontent-length: 100\r\n\r\nx");
        let answer = raw.answer().expect("an answer");
        assert_eq!((answer.status, answer.code()), (504, "timeout"), "{manifest}: {}", answer.text());
        let is_taken = !answer.header("x-spawnpoint-start").is_empty();
        assert_eq!(is_taken, !manifest.contains("retry"), "whether an instance was: {answer:?}");
        let record =
            server.admin("GET", &format!("/v1/invocations/{}", answer.header("x-request-id")), &[], b"");
        assert_eq!(record.json()["limit_key"], "wall_ms", "{}", record.text());
    }
}

#[test]
fn what_ran_out_of_cpu_time_is_not_tried_again() {
    let server = serving(RETRY);
    let answer = ask(&server, "GET", "?fails=spin", b"");
    assert_eq!((answer.status, answer.code()), (502, "cpu_limit"));
    assert_eq!(server.metric("spawnpoint_retries_total", ""), 0.0);
}

#[test]
fn nobody_is_asked_twice_without_asking_for_it() {
    let server = serving(r#"{"breaker": {"enabled": false}}"#);
    let answer = get(server.ingress, "/default/f/");
    assert_eq!((answer.status, answer.code()), (502, "guest_trap"));
}

#[test]
fn a_storm_is_not_doubled() {
    let server = serving(RETRY);
    for _ in 0..200 {
        let answer = ask(&server, "GET", "?fails=always", b"");
        assert_eq!((answer.status, answer.code()), (502, "guest_trap"));
    }
    let retries = server.metric("spawnpoint_retries_total", "");
    assert!((40.0..=44.0).contains(&retries), "{retries} retries of 200 calls");
}

#[test]
fn a_client_cannot_say_that_it_asks_again() {
    let server = serving(r#"{"breaker": {"enabled": false}}"#);
    let answer = request(server.ingress, "GET", "/default/f/", &[("x-spawnpoint-attempt", "2")], b"");
    assert_eq!((answer.status, answer.code()), (502, "guest_trap"));
}
