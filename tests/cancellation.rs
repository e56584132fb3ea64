//! A client that goes away takes its guest along: within one look of the watch (50 ms) and one slice of the guest.
//! Must never be freed by a limit instead: those are far longer here than any test waits.
//!
//! Each case asks the same of the server: the failure is counted as `client_gone`, and the one place that the function
//! has is free again for the next client. With bytes of a next request waiting, the bound is the same: the watch looks
//! at the socket itself, which hyper does not while it has something to read. Where the end itself is stuck behind a
//! body that nobody reads, the wall limit is the bound.

use std::time::Duration;

use http_body_util::{BodyExt as _, Full};

use crate::support::{H2, PATIENCE, Raw, Server, eventually, guest, h2};

/// Longer than [`PATIENCE`], so that no limit does what the client's leaving should.
const MANIFEST: &str = r#"{"limits": {"concurrent_requests": 1, "cpu_ms": 60000, "wall_ms": 290000}}"#;

fn serving(name: &str) -> Server {
    assert!(PATIENCE < Duration::from_secs(290));
    let server = Server::start();
    server.deploy_with("f", &guest(name), MANIFEST);
    server
}

fn ask(method: &str, query: &str, more: &str) -> String {
    format!("{method} /default/f/{query} HTTP/1.1\r\nhost: a.test\r\n{more}\r\n")
}

/// Whether the function's one place is taken: an answer comes at once only where it is.
fn is_taken(server: &Server, query: &str) -> bool {
    let mut raw = Raw::connect(server.ingress);
    raw.stream().set_read_timeout(Some(Duration::from_millis(1_000))).expect("a timeout");
    raw.send(ask("GET", query, ""));
    raw.answer().is_some_and(|answer| answer.code() == "throttled")
}

/// Begins a call that never ends by itself, and waits until it has the place.
#[track_caller]
fn begins(server: &Server, bytes: &str) -> Raw {
    let mut raw = None;
    eventually("the call has the place", || {
        let mut next = Raw::connect(server.ingress);
        next.send(bytes);
        next.stream().set_read_timeout(Some(Duration::from_millis(1_000))).expect("a timeout");
        let refused = next.head().is_some_and(|head| head.contains("throttled"));
        raw = Some(next);
        !refused
    });
    raw.expect("a connection")
}

/// The client has left: it is counted, and there is room for the next.
#[track_caller]
fn is_released(server: &Server, query: &str, gone: f64) {
    eventually("the call is counted as one whose client left", || server.failed("client_gone") >= gone);
    eventually("the place is free", || !is_taken(server, query));
    for code in ["timeout", "cpu_limit", "guest_trap", "host_error"] {
        assert_eq!(server.failed(code), 0.0, "{code}");
    }
}

#[test]
fn a_client_that_leaves_a_sleeping_guest_frees_it() {
    let server = serving("sleep");
    for n in 1..=3 {
        let raw = begins(&server, &ask("GET", "", ""));
        assert!(is_taken(&server, ""));
        drop(raw);
        is_released(&server, "", f64::from(n));
    }
}

#[test]
fn a_client_that_leaves_a_sleeping_0_3_guest_frees_it() {
    let server = serving("many_p3");
    let raw = begins(&server, &ask("GET", "?do=sleep", ""));
    assert!(is_taken(&server, "?do=sleep"));
    drop(raw);
    is_released(&server, "?do=sleep", 1.0);
}

#[test]
fn a_client_that_resets_its_connection_frees_the_guest() {
    let server = serving("sleep");
    let raw = begins(&server, &ask("GET", "", ""));
    let linger = Some(Duration::ZERO);
    rustix::net::sockopt::set_socket_linger(raw.stream(), linger).expect("a reset instead of an end");
    drop(raw);
    is_released(&server, "", 1.0);
}

#[test]
fn a_client_that_leaves_a_body_unread_frees_the_guest() {
    let server = serving("sleep");
    // Small enough that the end of the connection is not held up behind it.
    for length in [3, 50_000] {
        let before = server.failed("client_gone");
        let mut raw = begins(&server, &ask("POST", "", &format!("content-length: {length}\r\n")));
        raw.send(vec![b'x'; length]);
        drop(raw);
        is_released(&server, "", before + 1.0);
    }
}

#[test]
fn a_client_whose_end_is_stuck_behind_its_body_is_bounded_by_the_wall_limit() {
    // The kernel holds back the end of a connection until everything before it has been taken, so nobody can see it.
    let server = Server::start();
    let manifest = r#"{"limits": {"concurrent_requests": 1, "cpu_ms": 1000, "wall_ms": 3000}}"#;
    server.deploy_with("f", &guest("sleep"), manifest);
    let mut raw = begins(&server, &ask("POST", "", "content-length: 15000000\r\n"));
    raw.stream().set_write_timeout(Some(Duration::from_millis(500))).expect("a timeout");
    raw.send(vec![b'x'; 15_000_000]);
    drop(raw);
    eventually("the call has ended", || server.failed("client_gone") + server.failed("timeout") >= 1.0);
    eventually("the place is free", || !is_taken(&server, ""));
}

#[test]
fn a_client_that_leaves_in_the_middle_of_its_body_frees_the_guest() {
    let server = serving("read_slowly");
    let raw = begins(&server, &(ask("POST", "?n=10&ms=50", "content-length: 1000\r\n") + "some of it"));
    drop(raw);
    // The guest sees a broken body and answers nobody; where that comes first it has ended by itself.
    eventually("the place is free", || !is_taken(&server, "?n=10&ms=5000"));
    assert_eq!(server.failed("timeout"), 0.0);
}

#[test]
fn a_client_that_leaves_pipelined_bytes_frees_the_guest() {
    let server = serving("sleep");
    for pipelined in ["G".to_owned(), ask("GET", "", ""), "x".repeat(100_000)] {
        let before = server.failed("client_gone");
        let mut raw = begins(&server, &ask("GET", "", ""));
        raw.stream().set_write_timeout(Some(Duration::from_millis(200))).expect("a timeout");
        raw.send(&pipelined);
        std::thread::sleep(Duration::from_millis(50));
        drop(raw);
        is_released(&server, "", before + 1.0);
    }
}

#[test]
fn a_client_that_leaves_a_download_frees_the_guest() {
    for (name, query) in [("drip", ""), ("flood", ""), ("many_p3", "?do=drip")] {
        let server = serving(name);
        let mut raw = Raw::connect(server.ingress);
        raw.send(ask("GET", query, ""));
        assert!(raw.head().expect("a head").contains(" 200 "));
        assert!(!raw.chunk().expect("a chunk").is_empty());
        assert!(is_taken(&server, query), "{name}");
        drop(raw);
        eventually("it is counted", || server.failed("client_gone") >= 1.0);
        let again = || {
            let mut raw = Raw::connect(server.ingress);
            raw.send(ask("GET", query, ""));
            raw.head().expect("a head").contains(" 200 ")
        };
        eventually("the place is free", again);
    }
}

#[test]
fn a_client_that_leaves_a_spinning_guest_frees_it() {
    for name in ["spin", "spin_after_head"] {
        let server = serving(name);
        let raw = begins(&server, &ask("GET", "", ""));
        assert!(is_taken(&server, ""), "{name}");
        drop(raw);
        is_released(&server, "", 1.0);
    }
}

#[test]
fn a_stream_that_is_reset_frees_its_guest_and_no_other() {
    let server = serving("drip");
    server.deploy_with("sleep", &guest("sleep"), MANIFEST);
    let client = H2::connect(server.ingress);
    let mut sender = client.sender();
    // Mid-stream.
    let body = client.run(async {
        let answer = sender.send_request(h2::get("http://f.default.localhost/")).await.expect("a head");
        let mut body = answer.into_body();
        body.frame().await.expect("a frame").expect("a whole one");
        body
    });
    assert_eq!(client.get("http://f.default.localhost/").expect("an answer").code(), "throttled");
    drop(body);
    eventually("the download is counted", || server.failed("client_gone") >= 1.0);
    // Before there is a head.
    let waiting = client.start(sender.send_request(h2::get("http://sleep.default.localhost/")));
    eventually("the call has the place", || {
        let asked = http::Request::get("http://sleep.default.localhost/?ms=0").body(Full::default());
        client.send(asked.expect("a request")).expect("an answer").code() == "throttled"
    });
    waiting.abort();
    eventually("the place is free", || {
        client.get("http://sleep.default.localhost/?ms=0").expect("the same connection").status == 200
    });
    eventually("the call is counted", || server.failed("client_gone") >= 2.0);
}
