//! Which version answers: rollback, shares, and nobody moving what another has moved meanwhile.

use std::collections::BTreeMap;

use super::support::wasm::stamped;
use super::support::{Raw, Server, get, guest, sample};

/// A server with a function of so many versions, of which the last answers.
fn with_versions(count: u32) -> Server {
    let server = Server::start();
    let wasm = guest("ok");
    for version in 1..=count {
        assert_eq!(server.deploy("f", &stamped(&wasm, version)).json()["version"], version);
    }
    server
}

fn answers(server: &Server) -> String {
    server.call("f").header("x-spawnpoint-version").to_owned()
}

#[test]
fn rolling_back_is_activating_an_older_version() {
    let server = with_versions(3);
    assert_eq!(answers(&server), "3");
    let moved = server.activate("f", r#"{"version":1}"#);
    assert_eq!((moved.status, moved.header("etag")), (200, "\"4\""), "{}", moved.text());
    assert_eq!(moved.json()["activation"]["weights"], serde_json::json!([{ "version": 1, "weight": 1 }]));
    assert_eq!(answers(&server), "1");
    assert_eq!(server.activate("f", r#"{"version":3}"#).status, 200);
    assert_eq!(answers(&server), "3");
    assert_eq!(server.versions("f"), [1, 2, 3], "nothing is lost by moving");
}

#[test]
fn an_open_connection_sees_a_rollback_at_once() {
    let server = with_versions(2);
    let mut open: Vec<_> = (0..4).map(|_| Raw::connect(server.ingress)).collect();
    for turn in 0..6 {
        let version = (turn % 2 + 1).to_string();
        assert_eq!(server.activate("f", &format!("{{\"version\":{version}}}")).status, 200);
        for raw in &mut open {
            let answer = raw.get("/default/f/").expect("an answer");
            assert_eq!((answer.status, answer.header("x-spawnpoint-version")), (200, version.as_str()));
        }
    }
}

#[test]
fn weights_share_the_requests() {
    let server = with_versions(2);
    let body = r#"{"weights":[{"version":1,"weight":1},{"version":2,"weight":3}]}"#;
    assert_eq!(server.activate("f", body).status, 200);
    let mut raw = Raw::connect(server.ingress);
    let mut seen = BTreeMap::<String, u32>::new();
    for _ in 0..400 {
        let answer = raw.get("/default/f/").expect("an answer");
        assert_eq!(answer.status, 200);
        *seen.entry(answer.header("x-spawnpoint-version").to_owned()).or_default() += 1;
    }
    let one = seen.get("1").copied().unwrap_or(0);
    assert!((60..=140).contains(&one) && seen.len() == 2, "100 of 400 are the first one's: {seen:?}");
    let shown = server.shown("f").json();
    assert_eq!(shown["activation"]["weights"].as_array().unwrap().len(), 2);
    // A deploy takes all requests again.
    server.deploy("f", &stamped(&guest("ok"), "next"));
    assert_eq!(answers(&server), "3");
}

#[test]
fn eight_versions_may_share_and_nine_may_not() {
    let server = with_versions(2);
    let weights = |count: u32| {
        let each = (1..=count).map(|version| serde_json::json!({ "version": version, "weight": 1 }));
        serde_json::json!({ "weights": each.collect::<Vec<_>>() }).to_string()
    };
    let refused = server.activate("f", &weights(9));
    assert_eq!((refused.status, refused.code()), (400, "invalid_activation"), "{}", refused.text());
    assert!(refused.text().contains('8') && refused.text().contains('9'), "{}", refused.text());
    for version in 3..=8 {
        server.deploy("f", &stamped(&guest("ok"), version));
    }
    assert_eq!(server.activate("f", &weights(8)).status, 200);
    let mut raw = Raw::connect(server.ingress);
    let seen: std::collections::BTreeSet<_> = (0..80)
        .map(|_| raw.get("/default/f/").expect("an answer").header("x-spawnpoint-version").to_owned())
        .collect();
    assert_eq!(seen.len(), 8, "{seen:?}");
}

#[test]
fn an_activation_that_makes_no_sense_is_refused_by_name_and_changes_nothing() {
    let server = with_versions(2);
    for (body, status, code, said) in [
        (r#"{"version":9}"#, 404, "no_such_version", "9"),
        (r#"{"weights":[]}"#, 400, "invalid_activation", "1 to 8"),
        (r#"{"weights":[{"version":1,"weight":0}]}"#, 400, "invalid_activation", "1 to 1000000"),
        (r#"{"weights":[{"version":1,"weight":1000001}]}"#, 400, "invalid_activation", "1000001"),
        (
            r#"{"weights":[{"version":1,"weight":1},{"version":1,"weight":2}]}"#,
            400,
            "invalid_activation",
            "twice",
        ),
        (r#"{"weights":[{"version":1,"weight":1},{"version":7,"weight":2}]}"#, 404, "no_such_version", "7"),
        ("{}", 400, "invalid_activation", "version"),
        (r#"{"version":1,"weights":[{"version":1,"weight":1}]}"#, 400, "invalid_activation", "either"),
        (r#"{"version":-1}"#, 400, "invalid_json", "-1"),
        (r#"{"version":"1"}"#, 400, "invalid_json", "string"),
        (r#"{"verison":1}"#, 400, "invalid_json", "verison"),
        ("[1]", 400, "invalid_json", "object"),
        ("", 400, "invalid_json", ""),
        ("{", 400, "invalid_json", ""),
    ] {
        let answer = server.activate("f", body);
        assert_eq!((answer.status, answer.code()), (status, code), "{body}: {}", answer.text());
        assert!(answer.text().contains(said), "{body}: {}", answer.text());
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    assert_eq!((answers(&server).as_str(), server.shown("f").header("etag")), ("2", "\"2\""));
}

#[test]
fn an_etag_that_is_no_longer_true_moves_nothing() {
    let server = with_versions(2);
    let shown = server.shown("f");
    let etag = shown.header("etag").to_owned();
    assert_eq!(etag, format!("\"{}\"", shown.json()["activation"]["revision"]));
    let target = format!("{}/activation", Server::path("f"));
    let put = |tag: &str, version: u32| {
        let body = format!("{{\"version\":{version}}}");
        server.admin("PUT", &target, &[("if-match", tag)], body.as_bytes())
    };
    let moved = put(&etag, 1);
    assert_eq!(moved.status, 200, "{}", moved.text());
    assert_ne!(moved.header("etag"), etag);
    let stale = put(&etag, 2);
    assert_eq!((stale.status, stale.code()), (412, "precondition_failed"), "{}", stale.text());
    assert_eq!(answers(&server), "1");
    for (tag, status) in [("\"999\"", 412), ("W/\"3\"", 412), ("3", 400), ("*", 200), ("\"1\", \"4\"", 200)] {
        assert_eq!(put(tag, 2).status, status, "{tag}");
    }
}

#[test]
fn a_revision_in_the_body_is_a_condition_too() {
    let server = with_versions(2);
    let stale = server.activate("f", r#"{"version":1,"revision":1}"#);
    assert_eq!((stale.status, stale.code()), (409, "conflict"), "{}", stale.text());
    assert_eq!(answers(&server), "2");
    assert_eq!(server.activate("f", r#"{"version":1,"revision":2}"#).status, 200);
    assert_eq!(answers(&server), "1");
}

#[test]
fn of_two_who_move_it_at_once_from_one_revision_one_wins() {
    let server = with_versions(3);
    for _ in 0..5 {
        let etag = server.shown("f").header("etag").to_owned();
        let target = format!("{}/activation", Server::path("f"));
        let current: u32 = answers(&server).parse().unwrap();
        let others: Vec<u32> = (1..=3).filter(|version| *version != current).collect();
        let statuses: Vec<_> = std::thread::scope(|scope| {
            let puts: Vec<_> = others
                .iter()
                .map(|version| {
                    let (server, etag, target) = (&server, etag.as_str(), target.as_str());
                    let body = format!("{{\"version\":{version}}}");
                    scope.spawn(move || {
                        server.admin("PUT", target, &[("if-match", etag)], body.as_bytes()).status
                    })
                })
                .collect();
            puts.into_iter().map(|put| put.join().unwrap()).collect()
        });
        assert!(matches!(statuses[..], [200, 412] | [412, 200]), "{statuses:?}");
        let winner = if statuses[0] == 200 { others[0] } else { others[1] };
        assert_eq!(answers(&server), winner.to_string());
    }
}

#[test]
fn the_versions_are_listed_with_what_they_are() {
    let server = Server::start();
    server.deploy("f", &guest("ok"));
    server.deploy_with("f", &sample("hello-p3"), r#"{"variables":{"A":"b"}}"#);
    let answer = server.admin("GET", &format!("{}/versions", Server::path("f")), &[], &[]);
    let body = answer.json();
    let versions = body["versions"].as_array().unwrap();
    assert_eq!(versions.len(), 2);
    assert_eq!(versions[0]["size_bytes"], guest("ok").len());
    assert_eq!((&versions[0]["active"], &versions[1]["active"]), (&false.into(), &true.into()));
    assert_ne!(versions[0]["handler"], versions[1]["handler"]);
    assert_eq!(versions[1]["manifest"]["variables"]["A"], "b");
    assert!(body.get("next").is_none());
}

#[test]
fn a_function_that_is_made_cold_starts_as_it_says() {
    let server = Server::start();
    for (function, wasm) in [("f", guest("ok")), ("p3", sample("hello-p3"))] {
        server.deploy(function, &wasm);
        let target = format!("/default/{function}/");
        let start = || get(server.ingress, &target).header("x-spawnpoint-start").to_owned();
        start();
        let cold = server.cool(function, "program");
        assert_eq!((cold.status, &cold.json()["loaded"]), (200, &1.into()), "{}", cold.text());
        assert_eq!(start(), "cold");
        assert_ne!(start(), "cold");
        assert_eq!(server.cool(function, "instances").status, 200);
        assert_eq!(start(), "spawned");
        server.cool(function, "program");
        assert_eq!(server.cool(function, "program").json()["loaded"], 0, "it was gone before");
        assert_eq!(start(), "cold");
    }
    let wrong = server.cool("f", "everything");
    assert_eq!((wrong.status, wrong.code()), (400, "invalid_json"), "{}", wrong.text());
    assert!(wrong.text().contains("instances") && wrong.text().contains("program"), "{}", wrong.text());
    assert_eq!(server.cool("nothing", "program").code(), "no_such_function");
}
