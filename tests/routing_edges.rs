//! Requests at the edge of what is routed: too long, too many, and paths that try to be another function's.
//! Must never let a path be read twice.

use crate::support::{Answer, Raw, Server, get, guest, request};

fn server() -> Server {
    let server = Server::start();
    server.deploy("echo", &guest("headers_echo"));
    server
}

fn head(server: &Server, head: &str) -> Option<Answer> {
    Raw::connect(server.ingress).send(head).answer()
}

#[test]
fn a_path_is_passed_on_as_it_was_written() {
    let server = server();
    for path in [
        "/a%2Fb",
        "/%2e%2e/%2E/x",
        "/../../other/function/",
        "/./x",
        "//x//y/",
        "/a%00b",
        "/%zz",
        "/a;b=c",
        "/a:b@c!$&'()*+,=",
        "/?a=%2F..%2f",
        "/%F0%9F%A6%80",
    ] {
        let by_path = get(server.ingress, &format!("/default/echo{path}"));
        assert!(by_path.text().contains(&format!("\npath {path}\n")), "{path}: {}", by_path.text());
        let by_host = request(server.ingress, "GET", path, &[("host", "echo.default.localhost")], &[]);
        assert!(by_host.text().contains(&format!("\npath {path}\n")), "{path}: {}", by_host.text());
    }
}

#[test]
fn an_encoded_or_dotted_path_never_reaches_another_function() {
    let server = server();
    for target in [
        "/default%2Fecho/",
        "/default/ech%6F/",
        "/%64efault/echo/",
        "/default/echo%2Fx/",
        "/default/echo%00/",
        "/./default/echo/",
        "/../default/echo/",
        "/default/../default/echo/",
        "/default/./echo/",
        "/x/%2e%2e/default/echo/",
        "/default\\echo/",
        "/default/echo;x/",
    ] {
        let answer = get(server.ingress, target);
        assert!(matches!(answer.status, 400 | 404), "{target}: {} {}", answer.status, answer.text());
    }
}

#[test]
fn a_target_too_long_is_414_and_the_longest_is_served() {
    let server = server();
    let prefix = "/default/echo/".len();
    let longest = format!("/default/echo/{}", "x".repeat(8 * 1024 - prefix));
    assert_eq!(get(server.ingress, &longest).status, 200);
    let answer = get(server.ingress, &format!("{longest}x"));
    assert_eq!((answer.status, answer.code()), (414, "uri_too_long"));
    // What hyper itself refuses can carry no code of ours.
    for length in [70_000, 200_000] {
        let asked = format!("GET /{} HTTP/1.1\r\nhost: a.test\r\n\r\n", "x".repeat(length));
        let status = head(&server, &asked).map(|answer| answer.status);
        assert!(matches!(status, None | Some(414 | 431)), "{status:?}");
    }
    assert_eq!(server.call("echo").status, 200);
}

#[test]
fn too_many_fields_are_431_and_the_most_are_served() {
    let server = server();
    let ask = |fields: usize| {
        let fields: String = (0..fields).map(|n| format!("x-{n}: v\r\n")).collect();
        head(&server, &format!("GET /default/echo/ HTTP/1.1\r\nhost: a.test\r\n{fields}\r\n"))
    };
    assert_eq!(ask(99).expect("an answer").status, 200);
    let answer = ask(100).expect("an answer");
    assert_eq!((answer.status, answer.code()), (431, "headers_too_large"));
    assert_ne!(answer.header("x-request-id"), "");
    for fields in [250, 5_000] {
        let status = ask(fields).map(|answer| answer.status);
        assert!(matches!(status, None | Some(431)), "{fields}: {status:?}");
    }
    assert_eq!(server.call("echo").status, 200);
}

#[test]
fn a_head_too_large_is_431_and_the_largest_is_served() {
    let server = server();
    let ask = |bytes: usize| {
        let value = "v".repeat(bytes);
        head(&server, &format!("GET /default/echo/ HTTP/1.1\r\nhost: a.test\r\nx-large: {value}\r\n\r\n"))
    };
    assert_eq!(ask(16_000).expect("an answer").status, 200);
    let answer = ask(17_000).expect("an answer");
    assert_eq!((answer.status, answer.code()), (431, "headers_too_large"));
    for bytes in [100_000, 1_000_000] {
        let status = ask(bytes).map(|answer| answer.status);
        assert!(matches!(status, None | Some(431)), "{bytes}: {status:?}");
    }
    assert_eq!(server.call("echo").status, 200);
}

#[test]
fn what_is_not_http_is_refused_or_cut_and_hurts_nobody() {
    let server = server();
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"hello\r\n\r\n",
        b"GET / HTTP/9.9\r\nhost: a.test\r\n\r\n",
        b"GET  / HTTP/1.1\r\nhost: a.test\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nhost: a.test\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost : a.test\r\n\r\n",
        b"GET / HTTP/1.1\r\n folded\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\nmore of it",
    ] {
        let mut raw = Raw::connect(server.ingress);
        let status = raw.send(garbage).answer().map(|answer| answer.status);
        // HTTP/2 says what it thinks of this in frames.
        assert!(matches!(status, None | Some(400 | 404 | 505)), "{status:?} to {garbage:?}");
    }
    assert_eq!(server.call("echo").status, 200);
}

#[test]
fn what_is_no_request_at_all_is_refused_without_a_code_of_ours() {
    let server = server();
    let target = format!("GET /default/echo/{} HTTP/1.1\r\nhost: a.test\r\n\r\n", "x".repeat(70_000));
    let head = format!("GET /default/echo/ HTTP/1.1\r\nhost: a.test\r\nx: {}\r\n\r\n", "x".repeat(100_000));
    let fields = format!("GET /default/echo/ HTTP/1.1\r\nhost: a.test\r\n{}\r\n", "a: b\r\n".repeat(300));
    for (asked, status) in [
        ("hello\r\n\r\n", 400),
        ("GET /default/echo/ HTTP/1.1\r\nhost: a.test\r\na: b\r\n folded\r\n\r\n", 400),
        ("GET /default/echo/\0 HTTP/1.1\r\nhost: a.test\r\n\r\n", 400),
        (
            "GET /default/echo/ HTTP/1.1\r\nhost: a.test\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\n",
            400,
        ),
        ("GET /default/echo/ HTTP/1.2\r\nhost: a.test\r\n\r\n", 400),
        (fields.as_str(), 431),
        (head.as_str(), 431),
        (target.as_str(), 431),
    ] {
        let mut raw = Raw::connect(server.ingress);
        let answer = raw.send(asked).answer().expect("an answer");
        let what = asked.chars().take(60).collect::<String>();
        assert_eq!((answer.status, answer.code()), (status, ""), "{what}");
        assert_eq!((answer.header("x-request-id"), answer.text().as_str()), ("", ""), "{what}");
    }
    assert_eq!(server.call("echo").status, 200);
}

#[test]
fn two_ways_to_frame_one_body_are_refused() {
    let server = server();
    for framing in [
        "content-length: 3\r\ncontent-length: 4\r\n",
        "content-length: 3\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 3\r\n",
        "content-length: +3\r\n",
        "content-length: -1\r\n",
        "content-length: 3, 3\r\n",
        "content-length: 99999999999999999999\r\n",
        "transfer-encoding: gzip\r\n",
        "transfer-encoding: chunked, identity\r\n",
        "transfer-encoding: xchunked\r\n",
    ] {
        let mut raw = Raw::connect(server.ingress);
        let asked = format!("POST /default/echo/ HTTP/1.1\r\nhost: a.test\r\n{framing}\r\n");
        // The second request is the smuggled one: it must not be answered on a connection whose framing is in doubt.
        raw.send(asked).send("0\r\n\r\nGET /default/echo/smuggled HTTP/1.1\r\nhost: a.test\r\n\r\n");
        // RFC 9112, 6.1: refused, or answered by the chunks alone and then closed.
        let answers: Vec<_> = std::iter::from_fn(|| raw.answer()).collect();
        let smuggled = answers.iter().any(|answer| answer.text().contains("path /smuggled"));
        let both = framing.contains("content-length: 3\r\n") && framing.contains("chunked\r\n");
        let fine = answers.first().is_none_or(|answer| answer.status == 400 || both);
        assert!(fine && !smuggled, "{framing:?}: {answers:?}");
    }
}
