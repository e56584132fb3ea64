//! The end of a server: it refuses what is new, finishes what runs, and is gone within its drain time.
//! Must never take longer than the drain time and a moment, whatever its guests do.

use std::time::{Duration, Instant};

use crate::support::{Config, H2, PATIENCE, Raw, Server, eventually, get, guest, h2};

/// A server that drains for at most so long, with guests that sleep and drip.
fn draining_for(ms: u64) -> Server {
    let server = Server::with(Config::default().toml(&format!("[server]\ndrain_ms = {ms}")));
    server.deploy("ok", &guest("ok"));
    server.deploy("sleep", &guest("sleep"));
    server.deploy_with("drip", &guest("drip"), r#"{"limits": {"wall_ms": 200000}}"#);
    server.deploy_with("spin", &guest("spin"), r#"{"limits": {"cpu_ms": 60000, "wall_ms": 200000}}"#);
    server
}

fn ask(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nhost: a.test\r\n\r\n")
}

/// A drip whose head has come, so that it runs for certain.
#[track_caller]
fn begins(server: &Server) -> Raw {
    let mut raw = Raw::connect(server.ingress);
    raw.send(ask("/default/drip/"));
    assert!(raw.head().expect("a head").contains(" 200 "));
    raw
}

/// Whether a new client is turned away: not let in, closed at once, or told.
fn is_refused(server: &Server) -> bool {
    let Ok(stream) = std::net::TcpStream::connect(server.ingress) else { return true };
    drop(stream);
    let mut raw = Raw::connect(server.ingress);
    raw.send(ask("/default/ok/")).answer().is_none_or(|answer| answer.code() == "draining")
}

#[test]
fn an_idle_server_ends_at_once_and_well() {
    for signal in ["-TERM", "-INT"] {
        let mut server = draining_for(60_000);
        let mut idle = Raw::connect(server.ingress);
        assert_eq!(idle.send(ask("/default/ok/")).answer().expect("an answer").status, 200);
        let silent = Raw::connect(server.ingress);
        let began = Instant::now();
        server.signal(signal);
        assert_eq!(server.wait().code(), Some(0), "{signal}");
        assert!(began.elapsed() < Duration::from_secs(30), "it waited for nothing: {:?}", began.elapsed());
        assert!(idle.is_closed());
        drop(silent);
    }
}

#[test]
fn what_runs_is_finished_and_what_is_new_is_refused() {
    for signal in ["-TERM", "-INT"] {
        let mut server = draining_for(50_000);
        let mut dripping = begins(&server);
        let mut sleeping = Raw::connect(server.ingress);
        sleeping.send(ask("/default/sleep/?ms=3000"));
        let h2 = H2::connect(server.ingress);
        let slept = h2.start(h2::exchange(h2.sender(), h2::get("http://sleep.default.localhost/?ms=3000")));
        // An answer on another connection, so that the two before it are in.
        for _ in 0..20 {
            assert_eq!(get(server.ingress, "/default/ok/").status, 200);
        }
        std::thread::sleep(Duration::from_millis(300));
        server.signal(signal);
        let refused = Instant::now();
        while !is_refused_quietly(&server) {
            assert!(refused.elapsed() < PATIENCE);
        }
        let answer = sleeping.answer().expect("an answer");
        assert_eq!((answer.status, answer.text().as_str()), (200, "slept"), "{signal}");
        assert!(sleeping.is_closed());
        let answer = h2.run(slept).expect("a task").expect("an answer on HTTP/2");
        assert_eq!((answer.status, answer.text().as_str()), (200, "slept"), "{signal}");
        assert!(dripping.chunk().is_some_and(|chunk| !chunk.is_empty()), "a stream goes on");
        drop(dripping);
        assert_eq!(server.wait().code(), Some(0), "{signal}");
    }
}

/// As [`is_refused`], where even connecting may fail.
fn is_refused_quietly(server: &Server) -> bool {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| is_refused(server))).unwrap_or(true)
}

#[test]
fn a_request_that_comes_too_late_is_told_or_closed_but_not_answered() {
    let mut server = draining_for(30_000);
    let holder = begins(&server);
    let mut half = Raw::connect(server.ingress);
    half.send("GET /default/ok/ HTTP/1.1\r\nhost: a.test\r\n");
    let h2 = H2::connect(server.ingress);
    assert_eq!(h2.get("http://ok.default.localhost/").expect("an answer").status, 200);
    std::thread::sleep(Duration::from_millis(300));
    server.terminate();
    let began = Instant::now();
    while !is_refused_quietly(&server) {
        assert!(began.elapsed() < PATIENCE);
    }
    half.send("\r\n");
    if let Some(answer) = half.answer() {
        assert_eq!((answer.status, answer.code()), (503, "draining"));
        assert_ne!(answer.header("retry-after"), "");
        assert_eq!(answer.header("connection"), "close");
    }
    if let Ok(answer) = h2.get("http://ok.default.localhost/") {
        assert_eq!((answer.status, answer.code()), (503, "draining"));
    }
    drop(holder);
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn what_hangs_is_cut_at_the_drain_limit() {
    for target in ["/default/sleep/", "/default/drip/", "/default/spin/"] {
        let mut server = draining_for(700);
        let mut hung = Raw::connect(server.ingress);
        hung.send(ask(target));
        for _ in 0..20 {
            assert_eq!(get(server.ingress, "/default/ok/").status, 200);
        }
        std::thread::sleep(Duration::from_millis(300));
        let began = Instant::now();
        server.terminate();
        assert_eq!(server.wait().code(), Some(0), "{target}");
        assert!(began.elapsed() < Duration::from_secs(30), "{target}: {:?}", began.elapsed());
        let answer = hung.answer();
        assert!(answer.as_ref().is_none_or(|answer| answer.status >= 500 || !answer.whole), "{answer:?}");
        assert!(server.log().contains("cut off"), "{target}");
    }
}

#[test]
fn a_client_that_never_reads_does_not_hold_up_the_end() {
    let mut server = draining_for(700);
    server.deploy_with("flood", &guest("flood"), r#"{"limits": {"cpu_ms": 20000}}"#);
    let mut stuck = Raw::connect_narrow(server.ingress);
    stuck.send(ask("/default/flood/"));
    assert!(stuck.head().expect("a head").contains(" 200 "));
    let began = Instant::now();
    server.terminate();
    assert_eq!(server.wait().code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

#[test]
fn a_second_signal_does_no_harm() {
    let mut server = draining_for(1_500);
    let _hung = begins(&server);
    server.terminate();
    for _ in 0..5 {
        std::thread::sleep(Duration::from_millis(100));
        if server.is_alive() {
            server.signal("-INT");
        }
    }
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn a_draining_server_says_that_it_is_not_ready() {
    let mut server = draining_for(20_000);
    assert_eq!(get(server.admin, "/readyz").status, 200);
    let holder = begins(&server);
    server.terminate();
    eventually("it says so", || {
        let Ok(_) = std::net::TcpStream::connect(server.admin) else {
            panic!("whoever asks a draining server gets no answer at all");
        };
        let answer = get(server.admin, "/readyz");
        answer.status == 503 && answer.text().contains("draining")
    });
    assert_eq!(get(server.admin, "/livez").status, 200, "it still lives");
    drop(holder);
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn everything_serves_again_after_a_drain() {
    let mut server = draining_for(5_000);
    server.terminate();
    assert_eq!(server.wait().code(), Some(0));
    server.start_again();
    assert_eq!(get(server.ingress, "/default/ok/").text(), "ok");
    assert_eq!(get(server.ingress, "/default/sleep/?ms=0").text(), "slept");
}
