//! The host's own code panics while a guest calls it or is thrown away: that call is `host_error`, and the connection,
//! the thread, the slot and everybody else go on. Or it does not come back: somebody notices. Must never count on one
//! panic: what leaks, leaks a little each time.

use super::support::{Config, H2, Raw, Server, eventually, guest};

/// Instances of the whole server: fewer than the panics of any test here, so that one slot lost each time would show.
const INSTANCES: usize = 12;
/// Panics in a row.
const MANY: u32 = 60;

/// One thread, so that whoever is answered after a panic is answered by the thread that panicked.
fn serving() -> Server {
    let settings = format!("[server]\ninstances = {INSTANCES}\nready_per_program = 2");
    let server = Server::with(Config::default().toml(&settings).flag("--threads", "1").failpoints());
    for name in ["stdout_flood", "outbound", "forge", "many_p3", "ok"] {
        let manifest = r#"{"limits":{"memory_bytes":8388608},"breaker":{"enabled":false}}"#;
        server.deploy_with(&name.replace('_', "-"), &guest(name), manifest);
    }
    server
}

/// What panics, whom to call for it, and how that call ends when nothing panics.
const CALLS: [(&str, &str, (u16, &str)); 4] = [
    ("host.print", "/default/stdout-flood/?lines=1", (200, "")),
    ("host.send", "/default/outbound/?to=a.test", (200, "")),
    ("host.field", "/default/forge/?status=200", (200, "")),
    // What a guest says before it gives up, on the other engine.
    ("host.print", "/default/many-p3/?do=hog", (502, "memory_limit")),
];

#[track_caller]
fn ask(raw: &mut Raw, target: &str, (status, code): (u16, &str)) {
    let answer = raw.get(target).unwrap_or_else(|| panic!("the connection ended at {target}"));
    assert_eq!((answer.status, answer.code()), (status, code), "{target}: {}", answer.text());
}

#[test]
fn a_panic_of_a_host_function_ends_its_call_and_nothing_else() {
    let server = serving();
    let mut raw = Raw::connect(server.ingress);
    for (point, target, ends) in CALLS {
        ask(&mut raw, target, ends);
        let before = server.failed("host_error");
        server.fault(&format!("{point}=panic"));
        for _ in 0..MANY {
            let answer = raw.get(target).expect("the connection goes on");
            assert_eq!((answer.status, answer.code()), (500, "host_error"), "{point}: {}", answer.text());
            assert!(!answer.text().contains("panic"), "how is for the log: {}", answer.text());
            if point != "host.field" {
                ask(&mut raw, "/default/ok/", (200, ""));
            }
        }
        assert_eq!(server.failed("host_error") - before, f64::from(MANY));
        server.fault("");
        ask(&mut raw, target, ends);
        ask(&mut raw, "/default/ok/", (200, ""));
    }
    for text in ["a host function panicked", "failpoint host.print"] {
        eventually("it is logged", || server.log().contains(text));
    }
}

#[test]
fn a_panic_takes_no_other_stream_of_its_connection_along() {
    let server = serving();
    server.fault("host.print=panic");
    let h2 = H2::connect(server.ingress);
    for _ in 0..MANY {
        let answer = h2.get("http://a.test/default/stdout-flood/?lines=1").expect("an answer");
        assert_eq!((answer.status, answer.code()), (500, "host_error"), "{}", answer.text());
        assert_eq!(h2.get("http://a.test/default/ok/").expect("an answer").text(), "ok");
    }
}

#[test]
fn a_panic_of_a_destructor_costs_no_slot() {
    let server = serving();
    let mut raw = Raw::connect(server.ingress);
    for (point, target, ends) in CALLS.into_iter().filter(|(point, ..)| *point == "host.print") {
        server.fault("host.drop=panic");
        for _ in 0..MANY {
            // Thrown away after its answer.
            ask(&mut raw, target, ends);
            ask(&mut raw, "/default/ok/", (200, ""));
        }
        // Both at once: a destructor panics while the store is unwound.
        server.fault(&format!("{point}=panic\nhost.drop=panic"));
        for _ in 0..MANY {
            ask(&mut raw, target, (500, "host_error"));
            ask(&mut raw, "/default/ok/", (200, ""));
        }
        server.fault("");
        ask(&mut raw, target, ends);
    }
    eventually("it is logged", || server.log().contains("failpoint host.drop"));
    assert_eq!(server.metric("spawnpoint_requests_rejected_total", "code=\"overloaded\""), 0.0);
}

#[test]
fn a_storm_of_panics_leaves_memory_and_descriptors_as_they_were() {
    let server = serving();
    server.fault("host.print=panic");
    let storm = |rounds: usize| {
        let mut raw = Raw::connect(server.ingress);
        for _ in 0..rounds {
            ask(&mut raw, CALLS[0].1, (500, "host_error"));
            ask(&mut raw, CALLS[3].1, (500, "host_error"));
        }
        (server.memory(), server.descriptors())
    };
    let (memory, descriptors) = storm(100);
    let (memory_after, descriptors_after) = storm(400);
    // A store that was kept would be 64 KiB at least, for each of 800.
    assert!(memory_after < memory + (16 << 20), "{memory} -> {memory_after}");
    assert!(descriptors_after <= descriptors + 4, "{descriptors} -> {descriptors_after}");
}

#[test]
fn a_thread_that_does_not_come_back_from_a_guest_is_noticed_and_who_runs_there_is_told() {
    let server = Server::with(Config::default().flag("--threads", "1").failpoints());
    server.deploy("printer", &guest("stdout_flood"));
    server.fault("host.print=stall");
    let mut raw = Raw::connect(server.ingress);
    raw.send("GET /default/printer/?lines=1 HTTP/1.1\r\nhost: a.test\r\n\r\n");
    let told = || {
        let log = server.log();
        let lines = log.lines().filter(|line| line.contains("a thread does not come back from a guest"));
        lines.inspect(|line| assert!(line.contains("default") && line.contains("printer"), "{line}")).count()
    };
    eventually("somebody notices", || told() > 0);
    // Health and metrics are answered by others.
    assert_eq!(server.metric("spawnpoint_threads_stuck_total", ""), 1.0);
    server.fault("");
    assert_eq!(raw.answer().expect("an answer").status, 200);
    ask(&mut raw, "/default/printer/?lines=1", (200, ""));
    assert_eq!(told(), 1, "once");
}
