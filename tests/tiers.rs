//! What is deployed answers as it was compiled quickly; what is compiled for speed behind it takes its place unseen.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use super::support::wasm::{component_of, optimisers_bomb, stamped};
use super::support::{Config, Raw, Server, eventually, get, guest, sample};

/// Keeps the second compilation from beginning.
const NEVER: &str = "optimise.spawn=EAGAIN";
const TOTAL: &str = "spawnpoint_optimisations_total";

fn names(server: &Server) -> Vec<String> {
    let name = |path: PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
    server.artifacts().into_iter().filter_map(name).collect()
}

fn are(server: &Server, tier: &str, count: usize) -> bool {
    let names = names(server);
    names.len() == count && names.iter().all(|name| name.contains(&format!("-{tier}.")))
}

#[test]
fn a_deploy_is_answered_before_it_is_compiled_for_speed() {
    let server = Server::with(Config::default().failpoints());
    server.fault(NEVER);
    for (number, wasm) in (1..).zip([guest("ok"), sample("hello-p3"), sample("core-module")]) {
        let name = format!("f{number}");
        server.deploy(&name, &wasm);
        assert_eq!((server.call(&name).status, server.tier(&name, 1).as_str()), (200, "fast"));
        server.reaches(TOTAL, "failed", f64::from(number));
    }
    assert!(are(&server, "fast", 3), "{:?}", names(&server));
    server.fault("");
    server.deploy("g", &guest("counter"));
    eventually("it is compiled for speed", || server.tier("g", 1) == "speed");
    assert_eq!(server.call("g").status, 200);
    assert_eq!(server.tier("f1", 1), "fast", "what failed waits until it is loaded again");
    server.reaches(TOTAL, "done", 1.0);
    assert!(server.metric("spawnpoint_optimisation_milliseconds_total", "") > 0.0);
}

#[test]
fn the_better_program_takes_its_place_without_a_failed_request() {
    let server = Server::with(Config::default().toml("threads = 2"));
    let wasm = guest("counter");
    server.deploy("kept", &wasm);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for function in ["fresh", "kept"] {
            let (server, done) = (&server, &done);
            scope.spawn(move || {
                let mut raw = Raw::connect(server.ingress);
                while !done.load(SeqCst) {
                    let Some(answer) = raw.get(&format!("/default/{function}/")) else { panic!("no answer") };
                    let unknown = function == "fresh" && answer.code() == "no_route";
                    assert!(answer.status == 200 || unknown, "{}", answer.text());
                    assert_ne!(answer.header("x-spawnpoint-start"), "cold");
                    if function == "fresh" && !unknown {
                        assert_eq!(answer.text().trim(), "1", "an instance answers once");
                    }
                    // Traffic, and no load test: whoever steps back behind it is to get on.
                    std::thread::sleep(std::time::Duration::from_millis(1));
                }
            });
        }
        for round in 0..3 {
            server.deploy("fresh", &stamped(&wasm, round));
            let manifest = r#"{"reuse":{"max_requests":1000}}"#;
            server.deploy_with("kept", &stamped(&wasm, format!("kept {round}")), manifest);
            eventually("both are compiled for speed", || {
                let last = |function: &str, number: usize| server.tier(function, number) == "speed";
                last("fresh", round + 1) && last("kept", round + 2)
            });
        }
        done.store(true, SeqCst);
    });
    assert!(!server.log().contains("it goes on as it was"), "{}", server.log());
    server.optimised();
    assert_eq!(server.artifacts().len(), 7);
}

#[test]
fn where_an_instance_was_ready_one_of_the_better_program_is() {
    let server = Server::with(Config::default().failpoints().toml("threads = 1"));
    server.fault("optimise.spawn=once EAGAIN");
    server.deploy("f", &guest("counter"));
    server.reaches(TOTAL, "failed", 1.0);
    let mut raw = Raw::connect(server.ingress);
    let mut start = || raw.get("/default/f/").expect("an answer").header("x-spawnpoint-start").to_owned();
    eventually("instances are made ready", || start() == "warm");
    // The same bytes again: the same version, which is still worth more.
    server.deploy("f", &guest("counter"));
    eventually("it is compiled for speed", || server.tier("f", 1) == "speed");
    assert_eq!(start(), "warm");
}

#[test]
fn what_calls_began_on_the_first_program_ends_there() {
    let server = Server::with(Config::default().failpoints());
    server.fault("optimise.spawn=once EAGAIN");
    server.deploy("slow", &guest("drip"));
    server.reaches(TOTAL, "failed", 1.0);
    let mut raw = Raw::connect(server.ingress);
    raw.send(format!("GET /default/slow/ HTTP/1.1\r\nhost: {}\r\n\r\n", server.ingress));
    assert!(raw.head().is_some_and(|head| head.starts_with("HTTP/1.1 200")));
    // The same bytes again: the same version, which is still worth more.
    server.deploy("slow", &guest("drip"));
    eventually("it is compiled for speed", || server.tier("slow", 1) == "speed");
    server.optimised();
    for _ in 0..5 {
        assert!(!raw.chunk().expect("a byte").is_empty());
    }
}

#[test]
fn a_kill_before_it_is_compiled_for_speed_loses_nothing_and_it_is_caught_up_with() {
    let mut server = Server::with(Config::default().failpoints());
    server.fault(NEVER);
    server.deploy("f", &guest("ok"));
    server.deploy("p3", &sample("hello-p3"));
    server.kill();
    server.start_again();
    // Not at the start, but when it is first called.
    server.fault("");
    assert!(are(&server, "fast", 2), "{:?}", names(&server));
    assert_eq!(server.tier("f", 1), "fast");
    assert_eq!((server.call("f").text().as_str(), server.call("p3").status), ("ok", 200));
    eventually("both are compiled for speed", || are(&server, "speed", 2));
    eventually("and answer", || server.tier("f", 1) == "speed" && server.tier("p3", 1) == "speed");
    assert!(!server.log().contains("compiling again"), "{}", server.log());
    // One more, in the moment in which both artifacts are there.
    server.fault("optimise.kept=abort");
    server.upload("g", &guest("counter"));
    assert_eq!(server.wait().code(), None);
    server.fault("");
    server.start_again();
    assert_eq!(server.call("g").status, 200);
    eventually("the better one is kept", || are(&server, "speed", 3));
    assert!(!server.log().contains("compiling again"), "{}", server.log());
}

#[test]
fn what_is_removed_while_it_is_compiled_for_speed_leaves_no_file() {
    let server = Server::start();
    // Quickly compiled in a moment, and for much longer than a deletion takes at the second time.
    let wasm = component_of(4_000);
    server.deploy("stays", &guest("ok"));
    server.optimised();
    for round in 0..3 {
        let wasm = stamped(&wasm, round);
        assert_eq!(server.upload("goes", &wasm).status, 201);
        std::thread::sleep(std::time::Duration::from_millis(30 * round));
        assert_eq!(server.admin("DELETE", &Server::path("goes"), &[], &[]).status, 204);
        assert_eq!(server.call("goes").code(), "no_route");
        server.reaches(TOTAL, "", f64::from(u32::try_from(round).unwrap()) + 2.0);
        eventually("its files are gone", || server.blobs().len() == 1 && are(&server, "speed", 1));
    }
    assert_eq!(server.metric(TOTAL, "failed"), 0.0, "{}", server.log());
    assert_eq!(server.call("stays").text(), "ok");
}

#[test]
fn a_version_that_was_replaced_is_not_compiled_for_speed_before_it_answers_again() {
    let server = Server::with(Config::default().failpoints());
    server.fault(NEVER);
    let wasm = guest("ok");
    server.deploy("f", &stamped(&wasm, 1));
    server.reaches(TOTAL, "failed", 1.0);
    server.fault("");
    server.deploy("f", &stamped(&wasm, 2));
    eventually("the second one is", || server.tier("f", 2) == "speed");
    assert_eq!(server.tier("f", 1), "fast");
    assert_eq!(server.activate("f", r#"{"version":1}"#).status, 200);
    assert_eq!(server.call("f").header("x-spawnpoint-version"), "1");
    eventually("the first one is, too", || server.tier("f", 1) == "speed");
}

#[test]
fn a_function_that_cannot_be_compiled_for_speed_goes_on_as_it_is() {
    let server = Server::with(Config::default().failpoints());
    for (times, fault) in
        (1_u32..).zip(["optimise.spawn=ENOMEM", "artifact.folder_sync=EIO", "artifact.rename=ENOSPC"])
    {
        // The deploy itself meets no fault: the second compilation waits for what is deployed meanwhile.
        let name = format!("f{times}");
        server.fault(NEVER);
        server.deploy(&name, &stamped(&guest("ok"), times));
        server.reaches(TOTAL, "failed", f64::from(2 * times - 1));
        server.fault(fault);
        server.cool(&name, "program");
        assert_eq!(server.call(&name).text(), "ok");
        server.reaches(TOTAL, "failed", f64::from(2 * times));
        assert_eq!(server.call(&name).text(), "ok");
        assert_eq!(server.tier(&name, 1), "fast", "{fault}");
        assert!(are(&server, "fast", usize::try_from(times).unwrap()), "{fault}: {:?}", names(&server));
    }
    assert_eq!(server.log().matches("it goes on as it was compiled first").count(), 6, "{}", server.log());
    server.fault("");
    server.cool("f1", "program");
    assert_eq!(server.call("f1").text(), "ok");
    eventually("the next load does better", || server.tier("f1", 1) == "speed");
}

#[test]
fn what_is_too_expensive_to_compile_for_speed_is_tried_once_and_goes_on() {
    let settings = "[server]\ncompile_cpu_s = 2";
    let server = Server::with(Config::default().toml(settings));
    assert_eq!(server.upload("bomb", &optimisers_bomb(30_000)).status, 201);
    server.reaches(TOTAL, "failed", 1.0);
    for _ in 0..3 {
        server.cool("bomb", "program");
        let answer = server.call("bomb");
        // It does nothing but be long.
        let seen = (answer.code(), answer.header("x-spawnpoint-start"));
        assert_eq!(seen, ("no_response", "cold"), "{}", answer.text());
    }
    assert_eq!(server.tier("bomb", 1), "fast");
    // Nothing of it stands in the way of the next one.
    server.deploy("next", &guest("ok"));
    eventually("the next one is compiled for speed", || server.tier("next", 1) == "speed");
    server.optimised();
    assert_eq!(server.metric(TOTAL, ""), 2.0, "{}", server.log());
    assert_eq!(server.log().matches("it goes on as it was compiled first").count(), 1, "{}", server.log());
}

#[test]
fn an_operator_may_have_everything_compiled_for_speed_before_it_answers() {
    let mut server = Server::with(Config::default().failpoints());
    server.fault(NEVER);
    server.deploy("early", &guest("counter"));
    server.terminate();
    server.wait();
    server.start_again_with(Config::default().toml("fast_tier = false"));
    assert_eq!(server.call("early").status, 200);
    server.deploy("f", &guest("ok"));
    assert_eq!((server.tier("f", 1).as_str(), server.tier("early", 1).as_str()), ("speed", "fast"));
    assert_eq!(server.call("f").text(), "ok");
    assert_eq!(server.metric(TOTAL, ""), 0.0);
    assert!(!server.log().contains("compiling again"), "{}", server.log());
}

#[test]
fn the_same_bytes_of_two_functions_are_compiled_for_speed_once() {
    let server = Server::start();
    server.tenant("acme");
    let wasm = guest("ok");
    server.deploy("f", &wasm);
    eventually("it is compiled for speed", || server.tier("f", 1) == "speed");
    assert_eq!(server.upload_with("acme", "g", &wasm, "{}").status, 201);
    assert_eq!(get(server.ingress, "/acme/g/").text(), "ok");
    let versions = server.admin("GET", "/v1/tenants/acme/functions/g/versions", &[], &[]).json();
    assert_eq!(versions["versions"][0]["tier"], "speed");
    assert!(are(&server, "speed", 1), "{:?}", names(&server));
}
