//! Bounds of a connection: how many, how slow, how idle, how stuck.
//! Must never let a client that does nothing keep anything from one that asks.

use std::time::Duration;

use crate::support::{Config, H2, Raw, Server, eventually, get, guest};

/// A server whose patience is short in one of its bounds.
fn with(bound: &str) -> Server {
    let server = Server::with(Config::default().toml(&format!("[server]\n{bound}")));
    server.deploy("ok", &guest("ok"));
    server
}

const GET: &str = "GET /default/ok/ HTTP/1.1\r\nhost: a.test\r\n\r\n";
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[test]
fn connections_beyond_the_limit_are_told_so() {
    let server = with("connections = 3");
    let mut held: Vec<_> = (0..3).map(|_| Raw::connect(server.ingress)).collect();
    for raw in &mut held {
        assert_eq!(raw.send(GET).answer().expect("an answer").status, 200);
    }
    let refused = Raw::connect(server.ingress).send(GET).answer();
    // Refused without being read, so the answer may be lost to the reset.
    assert!(refused.is_none_or(|answer| answer.status == 503 && answer.code() == "overloaded"));
    server.reaches("spawnpoint_connections_refused_total", "", 1.0);
    assert_eq!(held[0].send(GET).answer().expect("an answer").status, 200, "the others go on");
    drop(held);
    eventually("there is room again", || {
        Raw::connect(server.ingress).send(GET).answer().is_some_and(|answer| answer.status == 200)
    });
}

#[test]
fn a_server_that_looks_for_the_next_request_sleeps_when_none_comes() {
    let server = with("busy_poll_us = 1000");
    let mut raw = Raw::connect(server.ingress);
    for _ in 0..500 {
        assert_eq!(raw.send(GET).answer().expect("an answer").status, 200);
    }
    eventually("the threads sleep", || {
        let before = server.workers_cpu_ns();
        assert!(before > 0, "they have worked");
        std::thread::sleep(Duration::from_millis(400));
        server.workers_cpu_ns() - before < 100_000_000
    });
    assert_eq!(raw.send(GET).answer().expect("an answer").status, 200, "and wake up");
}

#[test]
fn who_sends_no_head_is_cut_off() {
    let server = with("header_read_ms = 300");
    let beginnings: [&[u8]; 6] = [
        b"",
        b"G",
        b"GET /default/ok/ HTTP/1.1\r\nhost: a.test\r\n",
        b"GET /default/ok/ HTTP/1.1\r\nhost: a.test\r\nx-long: ",
        &PREFACE[..10],
        &PREFACE[..23],
    ];
    let silent: Vec<_> = beginnings
        .iter()
        .map(|bytes| {
            let mut raw = Raw::connect(server.ingress);
            raw.send(bytes);
            raw
        })
        .collect();
    for (mut raw, bytes) in silent.into_iter().zip(beginnings) {
        assert!(raw.bytes(1_000).len() < 1_000 && raw.is_closed(), "{bytes:?}");
    }
    assert_eq!(server.call("ok").status, 200);
}

#[test]
fn who_drips_a_head_is_cut_off() {
    let server = with("header_read_ms = 500");
    for beginning in ["", GET] {
        let mut raw = Raw::connect(server.ingress);
        if !beginning.is_empty() {
            assert_eq!(raw.send(beginning).answer().expect("an answer").status, 200);
        }
        raw.send("GET /default/ok/ HTTP/1.1\r\nhost: a.test\r\nx: ");
        let mut writer = raw.stream().try_clone().expect("a socket");
        let dripping = std::thread::spawn(move || {
            // Until the server has had enough; each byte alone is in good time.
            while std::io::Write::write_all(&mut writer, b"x").is_ok() {
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        assert!(raw.is_closed());
        dripping.join().expect("an end");
    }
    assert_eq!(server.call("ok").status, 200);
}

#[test]
fn who_is_idle_is_cut_off_and_who_waits_for_an_answer_is_not() {
    let server = with("idle_ms = 300\nheader_read_ms = 60000");
    server.deploy("sleep", &guest("sleep"));
    let mut raw = Raw::connect(server.ingress);
    assert_eq!(raw.send(GET).answer().expect("an answer").status, 200);
    raw.send("GET /default/sleep/?ms=1500 HTTP/1.1\r\nhost: a.test\r\n\r\n");
    assert_eq!(raw.answer().expect("an answer").text(), "slept");
    assert!(raw.is_closed());
    // HTTP/2: the same, whatever frames are sent without a request.
    let h2 = H2::connect(server.ingress);
    assert_eq!(h2.get("http://sleep.default.localhost/?ms=1500").expect("an answer").text(), "slept");
    eventually("the connection is closed", || {
        std::thread::sleep(Duration::from_millis(600));
        h2.get("http://ok.default.localhost/").is_err()
    });
    assert_eq!(server.call("ok").status, 200);
}

#[test]
fn who_never_reads_a_flood_is_cut_off() {
    let server = with("write_stall_ms = 500");
    server.deploy_with(
        "flood",
        &guest("flood"),
        r#"{"limits": {"concurrent_requests": 1, "cpu_ms": 20000}}"#,
    );
    let mut stuck = Raw::connect_narrow(server.ingress);
    stuck.send("GET /default/flood/ HTTP/1.1\r\nhost: a.test\r\n\r\n");
    assert!(stuck.head().expect("a head").contains(" 200 "));
    let before = server.memory();
    // Neither the wall limit (30 s) nor a client that left frees the place: the stall does.
    server.reaches("spawnpoint_requests_failed_total", "function=\"flood\"", 1.0);
    assert_eq!(server.failed("timeout") + server.failed("cpu_limit"), 0.0);
    eventually("the place is free again", || {
        let mut next = Raw::connect(server.ingress);
        next.send("GET /default/flood/ HTTP/1.1\r\nhost: a.test\r\n\r\n");
        next.head().expect("a head").contains(" 200 ")
    });
    assert!(server.memory().saturating_sub(before) < 50 << 20);
    assert_eq!(server.call("ok").status, 200);
}

/// Reads as much as makes the test last longer than the bound, at any speed of the machine, and then the rest.
#[track_caller]
fn reads_slowly_to_the_end(server: &Server, bytes: usize) {
    let mut slow = Raw::connect_narrow(server.ingress);
    slow.send(format!("GET /default/big/?n={bytes} HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n"));
    assert!(slow.head().expect("a head").contains(" 200 "));
    let mut got = 0;
    while got < bytes * 3 / 4 {
        std::thread::sleep(Duration::from_millis(200));
        got += slow.bytes(bytes as u64 / 16).len();
    }
    let rest =
        std::iter::from_fn(|| Some(slow.bytes(1_000_000).len()).filter(|read| *read > 0)).sum::<usize>();
    assert_eq!(got + rest, bytes);
    assert_eq!(server.failed("client_gone"), 0.0);
}

#[test]
fn who_reads_slowly_is_not_taken_for_idle() {
    let server = with("idle_ms = 300");
    server.deploy("big", &guest("big_response"));
    reads_slowly_to_the_end(&server, 12_000_000);
}

#[test]
fn who_reads_slowly_is_not_taken_for_stuck() {
    let server = with("write_stall_ms = 1000");
    server.deploy("big", &guest("big_response"));
    reads_slowly_to_the_end(&server, 12_000_000);
}

#[test]
fn who_takes_little_but_always_something_is_not_taken_for_stuck() {
    let server = with("write_stall_ms = 1500");
    server.deploy("big", &guest("big_response"));
    let mut slow = Raw::connect_narrow(server.ingress);
    slow.send("GET /default/big/?n=12000000 HTTP/1.1\r\nhost: a.test\r\n\r\n");
    assert!(slow.head().expect("a head").contains(" 200 "));
    for _ in 0..40 {
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(slow.bytes(25_000).len(), 25_000);
    }
    assert_eq!(server.failed("client_gone"), 0.0);
}

#[test]
fn a_call_whose_time_is_up_gives_its_place_back_whatever_its_client_reads() {
    let server = with("write_stall_ms = 60000");
    let limits = r#"{"limits": {"concurrent_requests": 1, "wall_ms": 1000, "cpu_ms": 900}}"#;
    server.deploy_with("flood", &guest("flood"), limits);
    let flood = || {
        let mut raw = Raw::connect_narrow(server.ingress);
        raw.send("GET /default/flood/ HTTP/1.1\r\nhost: a.test\r\n\r\n");
        raw
    };
    let mut stuck = flood();
    assert!(stuck.head().expect("a head").contains(" 200 "));
    server.reaches("spawnpoint_requests_failed_total", "code=\"timeout\"", 1.0);
    assert!(flood().head().expect("a head").contains(" 200 "), "its place is free");
    let failures = server.admin("GET", "/v1/tenants/default/functions/flood/failures", &[], b"").json();
    let all = failures["failures"].as_array().expect("a list");
    let stopped = all.iter().find(|record| record["code"] == "timeout").expect("its record");
    assert_eq!(stopped["detail"], "it waited for its client", "{failures}");
    drop(stuck);
}

#[test]
fn a_crowd_that_says_nothing_keeps_nobody_out() {
    let server = with("connections = 256\nheader_read_ms = 60000");
    let silent: Vec<_> = (0..600).map(|_| Raw::connect(server.ingress)).collect();
    server.reaches("spawnpoint_connections_shed_total", "", 1.0);
    eventually("there is a place", || {
        Raw::connect(server.ingress).send(GET).answer().is_some_and(|answer| answer.status == 200)
    });
    let mut held: Vec<_> = (0..40)
        .map(|n| {
            let mut raw = Raw::connect(server.ingress);
            let answer = raw.send(GET).answer();
            assert_eq!(answer.expect("an answer").status, 200, "at {n}");
            raw
        })
        .collect();
    for raw in &mut held {
        assert_eq!(raw.send(GET).answer().expect("an answer").status, 200, "who is of use stays");
    }
    drop(silent);
}

#[test]
fn many_idle_connections_keep_nobody_out() {
    let server = with("header_read_ms = 60000");
    let idle: Vec<_> = (0..300).map(|_| Raw::connect(server.ingress)).collect();
    for _ in 0..10 {
        assert_eq!(get(server.ingress, "/default/ok/").status, 200);
    }
    drop(idle);
    let settled = server.descriptors();
    eventually("their sockets are closed", || server.descriptors() < 200.min(settled + 1));
}

#[test]
fn all_of_a_crowd_that_waits_to_be_accepted_are_answered() {
    let server = with("header_read_ms = 60000");
    server.signal("-STOP");
    let crowd: Vec<_> = (0..200).map(|_| Raw::connect(server.ingress)).collect();
    server.signal("-CONT");
    for mut one in crowd {
        assert_eq!(one.get("/default/ok/").expect("an answer").status, 200);
    }
}

/// Given back by a thread that nobody waits for, some seconds later.
#[test]
fn memory_that_many_connections_took_goes_back_to_the_system() {
    // Without a function: what is compiled for speed would come in between.
    let server = Server::with(Config::default().toml("[server]\nheader_read_ms = 60000"));
    assert_eq!(get(server.ingress, "/default/none/").status, 404);
    let before = server.memory();
    let head = format!("GET / HTTP/1.1\r\nx: {}", "a".repeat(15 << 10));
    let open: Vec<Raw> = (0..1_000)
        .map(|_| {
            let mut raw = Raw::connect(server.ingress);
            raw.send(&head);
            raw
        })
        .collect();
    let taken = 12 << 20;
    eventually("their heads are held", || server.memory() > before + taken);
    drop(open);
    eventually("it goes back", || server.memory() < before + taken / 3);
}
