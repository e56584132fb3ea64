//! The fail sample under load: whatever it does, memory and descriptors stay flat and every answer is an expected one.
//! Must never measure before the pools are warm. `SPAWNPOINT_SOAK_SECONDS` says how long (5).

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::support::{Raw, Server, eventually, guest, sample};

/// Each way to fail with what is to be answered; `/ok` stands between them as it does in life.
const MIX: [(&str, u16, &str); 12] = [
    ("/default/fail/ok", 200, ""),
    ("/default/fail/trap", 502, "guest_trap"),
    ("/default/fail/ok", 200, ""),
    ("/default/fail/panic", 502, "guest_trap"),
    ("/default/fail/error", 418, ""),
    ("/default/fail/memory", 502, "memory_limit"),
    ("/default/p3/?do=ok", 200, ""),
    ("/default/p3/?do=trap", 502, "guest_trap"),
    ("/default/reused/", 200, ""),
    ("/default/reused/?trap", 502, "guest_trap"),
    ("/default/fail/ok", 200, ""),
    ("/nobody/", 404, "no_route"),
];

fn seconds() -> u64 {
    std::env::var_os("SPAWNPOINT_SOAK_SECONDS").and_then(|text| text.to_str()?.parse().ok()).unwrap_or(5)
}

/// Asks in turns until then. Every hundredth request is on a new connection, and some clients do not wait for an answer.
fn load(server: &Server, until: Instant, first: usize, seen: &Mutex<BTreeMap<String, u64>>) {
    let mut raw = Raw::connect(server.ingress);
    let mut n = first;
    while Instant::now() < until {
        let (target, status, code) = MIX[n % MIX.len()];
        n += 1;
        if n.is_multiple_of(100) {
            raw.send("GET /default/fail/sleep HTTP/1.1\r\nhost: a.test\r\n\r\n");
            raw = Raw::connect(server.ingress);
        }
        raw.send(format!("GET {target} HTTP/1.1\r\nhost: a.test\r\n\r\n"));
        let answer = raw.answer().unwrap_or_else(|| panic!("no answer to {target}"));
        assert_eq!((answer.status, answer.code()), (status, code), "{target}: {}", answer.text());
        *seen.lock().expect("a count").entry(target.to_owned()).or_default() += 1;
    }
}

fn run(server: &Server, time: Duration) -> BTreeMap<String, u64> {
    let until = Instant::now() + time;
    let seen = Mutex::default();
    std::thread::scope(|scope| {
        for client in 0..4 {
            let seen = &seen;
            scope.spawn(move || load(server, until, client * 5, seen));
        }
    });
    seen.into_inner().expect("a count")
}

#[test]
fn a_function_that_fails_in_every_way_costs_the_server_nothing() {
    let server = Server::start();
    let manifest = r#"{"limits": {"memory_bytes": 8388608, "cpu_ms": 2000}, "breaker": {"enabled": false}}"#;
    server.deploy_with("fail", &sample("fail"), manifest);
    server.deploy_with("p3", &guest("many_p3"), manifest);
    let manifest = r#"{"reuse": {"max_requests": 7}, "breaker": {"enabled": false}}"#;
    server.deploy_with("reused", &guest("counter"), manifest);
    // Until the pools hold what they will hold: that is what flat is measured from.
    run(&server, Duration::from_secs(seconds().clamp(2, 20)));
    let settled = || {
        eventually("nobody is connected", || server.descriptors() < 150);
        (server.memory(), server.descriptors())
    };
    let (memory, descriptors) = settled();
    let seen = run(&server, Duration::from_secs(seconds()));
    let (memory_after, descriptors_after) = settled();
    let total: u64 = seen.values().sum();
    println!(
        "{total} requests, {memory} -> {memory_after} bytes, {descriptors} -> {descriptors_after} descriptors"
    );
    assert!(total > 100, "{seen:?}");
    // A leak of one instance, or of a page for each request, would be far beyond this.
    assert!(memory_after < memory + (24 << 20), "memory {memory} -> {memory_after} in {total} requests");
    assert!(descriptors_after <= descriptors + 8, "descriptors {descriptors} -> {descriptors_after}");
    let unexpected = ["host_error", "timeout", "cpu_limit", "response_too_large", "bad_response"];
    for code in unexpected {
        assert_eq!(server.failed(code), 0.0, "{code}");
    }
    for code in ["overloaded", "throttled", "host_error", "draining"] {
        let label = format!("code=\"{code}\"");
        assert_eq!(server.metric("spawnpoint_requests_rejected_total", &label), 0.0, "{code}");
    }
    // A guest's panic is logged under its function's name.
    let log = server.log();
    let panic = log.lines().find(|line| line.contains("panicked at") && !line.contains("function="));
    assert_eq!(panic, None, "the host panicked");
}
