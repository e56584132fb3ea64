//! Bodies in both directions, while they are made: chunk by chunk, whole, broken, pipelined.
//! Must never read an answer to its end before looking at its beginning.

use std::time::Duration;

use http_body_util::{BodyExt as _, Full};

use crate::support::{Config, H2, Raw, Server, eventually, get, guest, h2, request};

fn serving(names: &[&str]) -> Server {
    let server = Server::start();
    for name in names {
        let manifest = r#"{"limits": {"cpu_ms": 300, "wall_ms": 20000}}"#;
        server.deploy_with(&name.replace('_', "-"), &guest(name), manifest);
    }
    server
}

fn ask(method: &str, target: &str, more: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nhost: a.test\r\n{more}\r\n")
}

/// Reads chunks until there is this much, however it was cut.
#[track_caller]
fn gathers(raw: &mut Raw, text: &str) {
    let mut got = Vec::new();
    while got.len() < text.len() {
        let chunk = raw.chunk().expect("a chunk");
        assert!(!chunk.is_empty(), "it ended after {:?}", String::from_utf8_lossy(&got));
        got.extend(chunk);
    }
    assert_eq!(String::from_utf8_lossy(&got), text);
}

#[test]
fn an_echo_answers_each_chunk_before_the_next_is_sent() {
    let server = serving(&["echo"]);
    let mut raw = Raw::connect(server.ingress);
    raw.send(ask("POST", "/default/echo/", "transfer-encoding: chunked\r\n"));
    raw.send("5\r\nfirst\r\n");
    assert!(raw.head().expect("a head before the body has ended").contains(" 200 "));
    gathers(&mut raw, "first");
    for n in 0..20 {
        let word = format!("word {n:03}");
        raw.send(format!("{:x}\r\n{word}\r\n", word.len()));
        gathers(&mut raw, &word);
    }
    raw.send("0\r\n\r\n");
    assert_eq!(raw.chunk(), Some(vec![]), "it ends where the request ends");
}

#[test]
fn an_echo_carries_many_megabytes_both_ways() {
    let server = Server::start();
    server.deploy_with("echo", &guest("echo"), r#"{"limits": {"cpu_ms": 20000}}"#);
    let body: Vec<u8> = (0..8_000_000_u32).map(|n| (n % 251) as u8).collect();
    let mut raw = Raw::connect(server.ingress);
    let mut writer = raw.stream().try_clone().expect("a socket");
    let sent = body.clone();
    let sending = std::thread::spawn(move || {
        use std::io::Write as _;
        let head = ask("POST", "/default/echo/", &format!("content-length: {}\r\n", sent.len()));
        writer.write_all(head.as_bytes()).and_then(|()| writer.write_all(&sent))
    });
    let answer = raw.answer().expect("an answer");
    assert!(answer.whole && answer.body == body, "{} bytes came back", answer.body.len());
    sending.join().expect("a thread").expect("all was sent");
}

#[test]
fn bytes_arrive_one_by_one_as_the_guest_makes_them() {
    let server = serving(&["drip", "many_p3"]);
    for target in ["/default/drip/", "/default/many-p3/?do=drip"] {
        let mut raw = Raw::connect(server.ingress);
        raw.send(ask("GET", target, ""));
        assert!(raw.head().expect("a head").contains(" 200 "));
        for _ in 0..5 {
            assert_eq!(raw.chunk(), Some(b".".to_vec()), "{target}");
        }
    }
    let client = H2::connect(server.ingress);
    let mut sender = client.sender();
    client.run(async {
        let answer = sender.send_request(h2::get("http://drip.default.localhost/")).await.expect("a head");
        let mut body = answer.into_body();
        for _ in 0..5 {
            let frame = body.frame().await.expect("a frame").expect("a whole one");
            assert_eq!(frame.into_data().expect("data"), ".");
        }
    });
}

#[test]
fn a_streamed_answer_is_not_held_back_by_the_next_request() {
    let server = serving(&["drip"]);
    for pipelined in ["G", &ask("GET", "/default/drip/", "")] {
        let mut raw = Raw::connect(server.ingress);
        raw.send(ask("GET", "/default/drip/", "") + pipelined);
        raw.stream().set_read_timeout(Some(Duration::from_secs(15))).expect("a timeout");
        assert!(raw.head().expect("a head").contains(" 200 "));
        for _ in 0..3 {
            assert_eq!(raw.chunk(), Some(b".".to_vec()));
        }
    }
}

#[test]
fn trailers_arrive_where_the_client_takes_them() {
    let server = serving(&["trailers"]);
    let answer = H2::connect(server.ingress).get("http://trailers.default.localhost/").expect("an answer");
    assert_eq!(answer.text(), "a body with a tail\n");
    assert_eq!((answer.trailer("x-checksum"), answer.header("x-checksum")), ("42", ""));
    // Who did not ask for them gets a body that ends well all the same.
    let answer = get(server.ingress, "/default/trailers/");
    assert!(answer.whole && answer.text() == "a body with a tail\n", "{answer:?}");
}

#[test]
fn trailers_arrive_on_http_1_where_the_client_asks_for_them() {
    let server = serving(&["trailers"]);
    let mut raw = Raw::connect(server.ingress);
    raw.send(ask("GET", "/default/trailers/", "te: trailers\r\nconnection: te\r\n"));
    let answer = raw.answer().expect("an answer");
    assert!(answer.whole && answer.text() == "a body with a tail\n", "{answer:?}");
    assert_eq!((answer.trailer("x-checksum"), answer.header("x-checksum")), ("42", ""));
}

#[test]
fn an_answer_with_trailers_has_gone_well() {
    let server = serving(&["trailers"]);
    let client = H2::connect(server.ingress);
    for _ in 0..5 {
        assert_eq!(
            client.get("http://trailers.default.localhost/").expect("an answer").trailer("x-checksum"),
            "42"
        );
        assert!(get(server.ingress, "/default/trailers/").whole);
    }
    let ended = || {
        let completed = server.metric("spawnpoint_requests_completed_total", "function=\"trailers\"");
        let failed = server.metric("spawnpoint_requests_failed_total", "");
        (completed, failed)
    };
    eventually("all have ended", || ended().0 + ended().1 >= 10.0);
    assert_eq!(ended(), (10.0, 0.0));
}

#[test]
fn a_guest_that_fails_after_its_head_breaks_the_body_off() {
    let server = serving(&["spin_after_head", "body_after_trap"]);
    let answer = get(server.ingress, "/default/spin-after-head/");
    assert_eq!((answer.status, answer.text().as_str()), (200, "the first chunk\n"));
    assert!(!answer.whole, "no last chunk says that it ended well");
    server.reaches("spawnpoint_requests_failed_total", "code=\"cpu_limit\"", 1.0);
    let answer = get(server.ingress, "/default/body-after-trap/");
    // Nothing of it may have gone out yet, and then the platform can still say what happened.
    let told = answer.status == 502 && answer.code() == "guest_trap";
    let broken = answer.status == 200 && !answer.whole && answer.code().is_empty();
    assert!(told || broken, "{answer:?}");

    let client = H2::connect(server.ingress);
    let answer = client.get("http://spin-after-head.default.localhost/").expect("a head");
    assert_eq!((answer.status, answer.text().as_str()), (200, "the first chunk\n"));
    assert!(!answer.whole, "the stream is reset");
    let answer = client.get("http://body-after-trap.default.localhost/").expect("a head");
    assert!(!answer.whole || answer.code() == "guest_trap", "{answer:?}");
    // A stream that was reset takes no other along.
    assert_eq!(client.get("http://nobody.default.localhost/").expect("an answer").status, 404);
}

#[test]
fn a_guest_that_fails_right_after_its_head_leaves_nobody_without_an_answer() {
    let server = Server::start();
    server.deploy_with("f", &guest("body_after_trap"), r#"{"breaker": {"enabled": false}}"#);
    // On its way between two threads it may fail before, while, or after the head goes out.
    for n in 0..200 {
        let answer = get(server.ingress, "/default/f/");
        let told = answer.status == 502 && answer.code() == "guest_trap";
        let broken = answer.status == 200 && !answer.whole && answer.text() == "the first chunk\n";
        assert!(told || broken, "at {n}: {answer:?}");
    }
}

#[test]
fn twenty_megabytes_arrive_whole_however_they_are_framed() {
    let server = Server::start();
    server.deploy_with("big", &guest("big_response"), r#"{"limits": {"cpu_ms": 20000}}"#);
    let whole = |answer: crate::support::Answer| {
        assert!(answer.whole && answer.body.len() == 20_000_000, "{} {}", answer.whole, answer.body.len());
        assert!(answer.body.iter().all(|byte| *byte == b'x'));
    };
    whole(get(server.ingress, "/default/big/?n=20000000"));
    whole(get(server.ingress, "/default/big/?n=20000000&chunked"));
    let client = H2::connect(server.ingress);
    whole(client.get("http://big.default.localhost/?n=20000000").expect("an answer"));
    whole(client.get("http://big.default.localhost/?n=20000000&chunked").expect("an answer"));
}

#[test]
fn an_answer_waits_for_its_reader_and_not_in_memory() {
    let server = Server::with(Config::default().toml("[server]\nwrite_stall_ms = 60000"));
    server.deploy_with("big", &guest("big_response"), r#"{"limits": {"cpu_ms": 20000}}"#);
    assert_eq!(get(server.ingress, "/default/big/?n=1000").status, 200);
    let before = server.memory();
    let waiting: Vec<_> = (0..8)
        .map(|_| {
            let mut raw = Raw::connect_narrow(server.ingress);
            raw.send(ask("GET", "/default/big/?n=60000000", ""));
            assert!(raw.head().expect("a head").contains(" 200 "));
            raw
        })
        .collect();
    for _ in 0..20 {
        std::thread::sleep(Duration::from_millis(50));
        let grown = server.memory().saturating_sub(before);
        assert!(grown < 100 << 20, "{grown} bytes for 480 MB that nobody reads");
    }
    drop(waiting);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = serving(&["sleep", "headers_echo"]);
    let mut raw = Raw::connect(server.ingress);
    let mut all = ask("GET", "/default/sleep/?ms=300", "");
    for n in 0..30 {
        all += &ask("GET", &format!("/default/headers-echo/{n}"), "");
        all += &ask("POST", "/nobody/", "content-length: 3\r\n");
        all += "abc";
    }
    raw.send(all);
    assert_eq!(raw.answer().expect("an answer").text(), "slept");
    for n in 0..30 {
        assert!(raw.answer().expect("an answer").text().contains(&format!("\npath /{n}\n")));
        assert_eq!(raw.answer().expect("an answer").code(), "no_route");
    }
}

#[test]
fn a_connection_lives_on_after_an_error() {
    let server = serving(&["unreachable", "no_response", "error_code", "headers_echo"]);
    let mut raw = Raw::connect(server.ingress);
    for _ in 0..5 {
        for (target, status) in [
            ("/default/unreachable/", 502),
            ("/default/no-response/", 502),
            ("/nobody", 404),
            ("/default/error-code/", 502),
            ("/default/headers-echo/", 200),
        ] {
            raw.send(ask("GET", target, ""));
            assert_eq!(raw.answer().expect("the same connection").status, status, "{target}");
        }
    }
}

#[test]
fn a_client_that_expects_100_gets_it_when_its_body_is_wanted() {
    let server = serving(&["read_slowly"]);
    let mut raw = Raw::connect(server.ingress);
    let target = "/default/read-slowly/?n=100&ms=0";
    raw.send(ask("POST", target, "expect: 100-continue\r\ncontent-length: 5\r\n"));
    assert!(raw.head().expect("a go-ahead").contains(" 100 "));
    raw.send("hello");
    assert_eq!(raw.answer().expect("an answer").text(), "5");
    // Nobody wants this one.
    let mut raw = Raw::connect(server.ingress);
    raw.send(ask("POST", "/nobody/", "expect: 100-continue\r\ncontent-length: 5\r\n"));
    assert_eq!(raw.answer().expect("an answer").status, 404);
}

#[test]
fn a_body_that_nobody_reads_spoils_nothing() {
    let server = serving(&["never_read"]);
    for length in [10, 100_000, 10_000_000] {
        let answer = request(server.ingress, "POST", "/default/never-read/", &[], &vec![b'x'; length]);
        assert_eq!((answer.status, answer.text().as_str()), (200, "not interested"), "{length}");
    }
    let client = H2::connect(server.ingress);
    let body = Full::from(vec![b'x'; 1_000_000]);
    let asked = http::Request::post("http://never-read.default.localhost/").body(body).expect("a request");
    assert_eq!(client.send(asked).expect("an answer").text(), "not interested");
    assert_eq!(client.get("http://never-read.default.localhost/").expect("the same connection").status, 200);
}

#[test]
fn a_request_body_that_breaks_off_reaches_the_guest_as_broken() {
    let server = serving(&["read_slowly", "echo"]);
    for framing in ["content-length: 1000\r\n\r\nabc", "transfer-encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n"]
    {
        for target in ["/default/echo/", "/default/read-slowly/?n=100&ms=0"] {
            let mut raw = Raw::connect(server.ingress);
            let head = format!("POST {target} HTTP/1.1\r\nhost: a.test\r\n{framing}");
            raw.send(head);
            raw.stream().shutdown(std::net::Shutdown::Write).expect("an open socket");
            let answer = raw.answer();
            // Whatever comes, it is no whole answer to a whole body.
            let fine = answer.as_ref().is_none_or(|answer| answer.status >= 400 || !answer.whole);
            assert!(fine, "{framing:?} {target}: {answer:?}");
        }
    }
    assert_eq!(request(server.ingress, "POST", "/default/echo/", &[], b"abc").text(), "abc");
}
