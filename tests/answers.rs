//! What the platform answers where a function does not: status, code and headers of every row of the table.
//! Must never take an answer of a guest for one of the platform's.

use crate::support::{Answer, Config, H2, Raw, Server, eventually, get, guest, request, sample, wat};

/// Statuses and codes, and what everything that the platform says must have.
#[track_caller]
fn is_ours(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.code()), (status, code), "{:?} {:.300}", answer.headers, answer.text());
    assert_ne!(answer.header("x-request-id"), "");
    assert!(answer.header("server-timing").starts_with("route;dur="), "{:?}", answer.headers);
    let problem = answer.json();
    assert_eq!(problem["code"], code);
    assert_eq!(problem["status"], status);
    assert_eq!(problem["request_id"], answer.header("x-request-id"));
    tells_nothing(answer);
}

/// No backtrace, no path, no name of what it is made of.
#[track_caller]
fn tells_nothing(answer: &Answer) {
    let text = format!("{} {:?}", answer.text().to_lowercase(), answer.headers).to_lowercase();
    for secret in [
        "backtrace",
        "wasm",
        ".rs:",
        "/src/",
        "panicked",
        "stack",
        "0x",
        "spawnpoint-data",
        "unreachable",
        "cargo",
    ] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

/// As [`is_ours`], for a guest that ran: how it was started and which version it was.
#[track_caller]
fn failed(answer: &Answer, status: u16, code: &str) {
    is_ours(answer, status, code);
    assert!(["cold", "spawned", "warm", "reset", "reused"].contains(&answer.header("x-spawnpoint-start")));
    assert_eq!(answer.header("x-spawnpoint-version"), "1");
}

/// A server with this guest as `f`, limits small enough for a test.
fn serving(name: &str) -> Server {
    let server = Server::start();
    server.deploy_with(
        "f",
        &guest(name),
        r#"{"limits": {"cpu_ms": 200, "wall_ms": 3000, "memory_bytes": 20000000}}"#,
    );
    server
}

fn ask(server: &Server, query: &str) -> Answer {
    get(server.ingress, &format!("/default/f/{query}"))
}

#[test]
fn a_guest_that_traps_is_502_guest_trap() {
    let server = serving("unreachable");
    failed(&ask(&server, ""), 502, "guest_trap");
    server.reaches("spawnpoint_requests_failed_total", "code=\"guest_trap\"", 1.0);
}

#[test]
fn a_guest_that_panics_is_502_guest_trap_and_its_message_is_not_shown() {
    failed(&ask(&serving("panic"), ""), 502, "guest_trap");
}

#[test]
fn a_guest_that_exits_is_502_guest_trap() {
    let server = serving("exit");
    failed(&ask(&server, ""), 502, "guest_trap");
    failed(&ask(&server, "?code=3"), 502, "guest_trap");
}

#[test]
fn a_guest_that_answers_nothing_is_502_no_response() {
    failed(&ask(&serving("no_response"), ""), 502, "no_response");
}

#[test]
fn a_guest_that_returns_an_error_code_is_502_guest_error() {
    let server = serving("error_code");
    for case in ["", "?case=denied", "?case=timeout", "?case=loop"] {
        failed(&ask(&server, case), 502, "guest_error");
    }
}

#[test]
fn a_guest_that_answers_an_informational_status_is_502_bad_response() {
    let server = serving("status_101");
    for status in [100, 101, 102, 103, 199] {
        failed(&ask(&server, &format!("?status={status}")), 502, "bad_response");
    }
    // What is no status at all, the guest cannot even set.
    for status in [0, 99, 1000] {
        let answer = ask(&server, &format!("?status={status}"));
        assert_eq!((answer.status, answer.text().as_str()), (200, "refused"), "{status}");
    }
}

#[test]
fn a_head_whose_length_is_not_the_bodys_is_502_bad_response() {
    let server = serving("bad_head");
    for case in ["short", "long"] {
        failed(&ask(&server, &format!("?case={case}")), 502, "bad_response");
    }
    // A guest that a tick interrupts, or that goes on in the heavy lane, is not yet one whose head can be believed.
    for case in ["short", "long"] {
        failed(&ask(&server, &format!("?case={case}&ms=15")), 502, "bad_response");
    }
    // The host may refuse these to the guest, which then says so in an answer of its own.
    for case in ["two-lengths", "not-a-number"] {
        let answer = ask(&server, &format!("?case={case}"));
        if !answer.text().starts_with("refused: ") {
            failed(&answer, 502, "bad_response");
        }
    }
}

#[test]
fn a_guest_cannot_set_fields_of_the_connection_or_split_a_head() {
    let server = serving("bad_head");
    for case in ["connection", "keep-alive", "transfer-encoding", "upgrade", "host", "newline", "space"] {
        let answer = ask(&server, &format!("?case={case}"));
        assert!(answer.whole && answer.text().starts_with("refused: "), "{case}: {}", answer.text());
        assert_eq!(answer.header("set-cookie"), "");
    }
}

#[test]
fn a_guest_that_loops_is_502_cpu_limit() {
    failed(&ask(&serving("spin"), ""), 502, "cpu_limit");
}

#[test]
fn a_guest_that_takes_too_much_memory_is_502_memory_limit() {
    let server = serving("hog");
    failed(&ask(&server, ""), 502, "memory_limit");
    // One that copes with the refusal has answered, and that is that.
    let answer = ask(&server, "?answer");
    assert_eq!((answer.status, answer.code()), (200, ""), "{}", answer.text());
}

#[test]
fn a_component_that_wants_too_much_memory_at_once_is_refused_at_deploy() {
    let answer = Server::start().upload("f", &wat("memory_min"));
    assert_eq!(answer.status, 422, "{}", answer.text());
    assert!(answer.text().contains("memory"), "{}", answer.text());
}

#[test]
fn a_guest_that_takes_too_long_is_504_timeout() {
    failed(&ask(&serving("sleep"), ""), 504, "timeout");
}

#[test]
fn an_answer_larger_than_allowed_is_502_response_too_large() {
    let server = Server::start();
    server.deploy_with("f", &guest("big_response"), r#"{"limits": {"response_body_bytes": 1000000}}"#);
    assert_eq!(ask(&server, "?n=1000000").body.len(), 1_000_000);
    assert_eq!(ask(&server, "?n=1000000&chunked").body.len(), 1_000_000);
    // Declared: refused before a byte goes out, however large.
    for n in ["1000001", "2000000", "1000000000"] {
        failed(&ask(&server, &format!("?n={n}")), 502, "response_too_large");
    }
    // Not declared: the bytes are under way when it is found out, so the body breaks off.
    let answer = ask(&server, "?n=10000000&chunked");
    assert!(!answer.whole && answer.body.len() <= 1_000_000, "{} {}", answer.whole, answer.body.len());
    server.reaches("spawnpoint_requests_failed_total", "code=\"response_too_large\"", 4.0);
}

#[test]
fn a_body_larger_than_allowed_is_413_payload_too_large() {
    let server = Server::start();
    for name in ["read_slowly", "echo", "never_read"] {
        let manifest = r#"{"limits": {"request_body_bytes": 1000}}"#;
        server.deploy_with(&name.replace('_', "-"), &guest(name), manifest);
        let name = name.replace('_', "-");
        let target = format!("/default/{name}/?n=1000&ms=0");
        let declared = request(server.ingress, "POST", &target, &[], &[b'x'; 1001]);
        is_ours(&declared, 413, "payload_too_large");
        assert_eq!(request(server.ingress, "POST", &target, &[], &[b'x'; 1000]).status, 200);
    }
    // A length that is far beyond is refused without a byte of the body.
    let head = "POST /default/echo/ HTTP/1.1\r\nhost: a.test\r\ncontent-length: 9999999999999\r\n\r\n";
    is_ours(&Raw::connect(server.ingress).send(head).answer().expect("an answer"), 413, "payload_too_large");
    let head = "POST /default/read-slowly/?n=1000&ms=1 HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = format!("258\r\n{}\r\n", "x".repeat(600));
    let mut raw = Raw::connect(server.ingress);
    raw.send(head).send(&chunk).send(&chunk).send("0\r\n\r\n");
    failed(&raw.answer().expect("an answer"), 413, "payload_too_large");
}

#[test]
fn a_function_with_as_many_requests_as_it_may_is_429_throttled() {
    let server = Server::start();
    server.deploy_with("f", &guest("drip"), r#"{"limits": {"concurrent_requests": 1}}"#);
    server.deploy("other", &guest("ok"));
    let mut first = Raw::connect(server.ingress);
    first.send("GET /default/f/ HTTP/1.1\r\nhost: a.test\r\n\r\n");
    assert!(first.head().expect("a head").contains("200"));
    let second = ask(&server, "");
    is_ours(&second, 429, "throttled");
    assert_ne!(second.header("retry-after"), "");
    assert_eq!(server.call("other").status, 200);
    assert!(first.chunk().is_some(), "the first one goes on");
    drop(first);
    eventually("the place is free again", || {
        let mut next = Raw::connect(server.ingress);
        next.send("GET /default/f/ HTTP/1.1\r\nhost: a.test\r\n\r\n");
        next.head().expect("a head").contains("200")
    });
}

#[test]
fn a_server_without_an_instance_to_give_is_503_overloaded() {
    let server = Server::with(Config::default().toml("threads = 1\n[server]\ninstances = 1"));
    server.deploy("f", &guest("drip"));
    server.deploy("other", &guest("ok"));
    let mut first = Raw::connect(server.ingress);
    first.send("GET /default/f/ HTTP/1.1\r\nhost: a.test\r\n\r\n");
    assert!(first.head().expect("a head").contains("200"));
    let refused = server.call("other");
    is_ours(&refused, 503, "overloaded");
    assert_ne!(refused.header("retry-after"), "");
    assert!(first.chunk().is_some(), "the first one goes on");
    drop(first);
    eventually("there is room again", || server.call("other").status == 200);
}

#[test]
fn every_answer_has_an_id_of_its_own_and_tells_its_times() {
    let server = serving("ok");
    let mut raw = Raw::connect(server.ingress);
    let h2 = H2::connect(server.ingress);
    let mut ids = std::collections::HashSet::new();
    for n in 0..50 {
        let pipelined =
            "GET /default/f/ HTTP/1.1\r\nhost: a.test\r\n\r\nGET /nobody HTTP/1.1\r\nhost: a.test\r\n\r\n";
        raw.send(pipelined);
        let ok = raw.answer().expect("an answer");
        assert_eq!((ok.status, ok.header("x-spawnpoint-version"), ok.code()), (200, "1", ""));
        let start = ok.header("x-spawnpoint-start");
        assert!(["spawned", "warm", "reset"].contains(&start), "{start}");
        let timing = ok.header("server-timing");
        for phase in
            ["route;dur=", ", queue;dur=", ", spawn;dur=", &format!(";desc=\"{start}\""), ", guest;dur="]
        {
            assert!(timing.contains(phase), "{phase} in {timing}");
        }
        let lost = raw.answer().expect("an answer");
        is_ours(&lost, 404, "no_route");
        for answer in [ok, lost, h2.get("http://f.default.localhost/").expect("an answer"), ask(&server, "")]
        {
            assert!(ids.insert(answer.header("x-request-id").to_owned()), "twice, at {n}");
        }
    }
}

#[test]
fn the_first_call_after_a_start_is_cold() {
    let mut server = serving("ok");
    server.terminate();
    assert!(server.wait().success());
    server.start_again();
    assert_eq!(ask(&server, "").header("x-spawnpoint-start"), "cold");
    assert_ne!(ask(&server, "").header("x-spawnpoint-start"), "cold");
}

#[test]
fn a_guests_own_500_is_never_taken_for_one_of_ours() {
    let server = serving("forge");
    for status in [500, 502, 503, 404, 429, 200] {
        let answer = ask(&server, &format!("?status={status}"));
        assert_eq!((answer.status, answer.text().as_str()), (status, "a forged body\n"));
        assert_eq!(answer.code(), "");
        assert_eq!(answer.header("x-spawnpoint-anything"), "");
        assert_eq!(answer.all("x-spawnpoint-version"), ["1"]);
        assert_eq!(answer.all("x-spawnpoint-start").len(), 1);
        assert_ne!(answer.header("x-spawnpoint-start"), "forged");
        assert_eq!(answer.all("x-request-id").len(), 1);
        assert_ne!(answer.header("x-request-id"), "forged");
    }
    server.deploy("fail", &sample("fail"));
    let own = get(server.ingress, "/default/fail/error");
    assert_eq!((own.status, own.code()), (418, ""));
}

#[test]
fn a_guest_cannot_forge_our_code_in_a_trailer() {
    let server = serving("forge");
    let answer = H2::connect(server.ingress).get("http://f.default.localhost/").expect("an answer");
    assert_eq!((answer.status, answer.text().as_str()), (500, "a forged body\n"));
    for name in ["x-spawnpoint-error", "x-spawnpoint-start", "x-request-id"] {
        assert_eq!(answer.trailer(name), "", "{name}");
    }
}

#[test]
fn an_answer_to_head_has_the_headers_and_no_body() {
    let server = serving("ok");
    server.deploy("big", &guest("big_response"));
    server.deploy("trap", &guest("unreachable"));
    let mut raw = Raw::connect(server.ingress);
    for (target, status) in [
        ("/default/f/", 200),
        ("/default/big/", 200),
        ("/default/trap/", 502),
        ("/nobody", 404),
        ("/default/f/", 200),
    ] {
        raw.send(format!("HEAD {target} HTTP/1.1\r\nhost: a.test\r\n\r\n"));
        // A body would be taken for the head of the next answer.
        let answer = raw.answer_to("HEAD").expect("an answer");
        assert_eq!(answer.status, status, "{target}");
        assert_ne!(answer.header("x-request-id"), "");
    }
    assert_eq!(server.failed("client_gone"), 0.0);
    let head = request(server.ingress, "HEAD", "/default/big/?n=12345", &[], &[]);
    assert_eq!(head.header("content-length"), "12345");
}

#[test]
fn a_status_without_a_body_has_none_whatever_the_guest_writes() {
    let server = serving("forge");
    let mut raw = Raw::connect(server.ingress);
    for status in [204, 304, 204] {
        raw.send(format!("GET /default/f/?status={status} HTTP/1.1\r\nhost: a.test\r\n\r\n"));
        let answer = raw.answer().expect("an answer");
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("transfer-encoding"), "", "{status}");
        assert!(
            ["", "0"].contains(&answer.header("content-length")) || status == 304,
            "{:?}",
            answer.headers
        );
    }
    // The connection is still in step.
    raw.send("GET /default/f/?status=200 HTTP/1.1\r\nhost: a.test\r\n\r\n");
    assert_eq!(raw.answer().expect("an answer").text(), "a forged body\n");
    let h2 = H2::connect(server.ingress);
    for status in [204, 304, 205] {
        let answer = h2.get(&format!("http://f.default.localhost/?status={status}")).expect("an answer");
        assert_eq!((answer.status, answer.body.len()), (status, 0));
    }
}

#[test]
fn no_answer_is_cached_that_the_platform_made() {
    let server = serving("unreachable");
    for target in ["/default/f/", "/nobody"] {
        assert_eq!(get(server.ingress, target).header("cache-control"), "no-store");
    }
}
