//! Requests that are wrong around the upload: lengths, names, manifests, forms, digests. Each is refused by name, and
//! a body that breaks off leaves nothing.

use std::io::Write as _;
use std::time::Duration;

use super::support::siege::Siege;
use super::support::{Answer, Config, Raw, Server, eventually, guest};

/// The head of an upload to a new function, without its length.
fn head(server: &Server, more: &str) -> String {
    format!(
        "PUT {} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n{more}\r\n",
        Server::path("new"),
        server.token
    )
}

/// One form with these parts: name and content.
fn form(server: &Server, parts: &[(&str, &[u8])]) -> Answer {
    let mut body = Vec::new();
    for (name, content) in parts {
        body.extend(format!("--xx\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n").bytes());
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--xx--\r\n");
    upload_form(server, &body)
}

fn upload_form(server: &Server, body: &[u8]) -> Answer {
    let kind = [("content-type", "multipart/form-data; boundary=xx")];
    server.admin("PUT", &Server::path("new"), &kind, body)
}

#[test]
fn what_is_too_large_is_refused_before_it_is_sent() {
    let siege = Siege::begin(Config::default().toml("[server]\nupload_bytes = 200000"));
    let server = &siege.server;
    let too_large = (413, "upload_too_large");
    // Said so: not one byte of the body is waited for.
    let mut raw = Raw::connect(server.admin);
    let answer = raw.send(head(server, "content-length: 200001\r\n")).answer().expect("an answer");
    siege.is_refusal("said so", &answer, too_large, "200000");
    let answer = raw_again(server, "content-length: 9223372036854775808\r\n");
    siege.is_refusal("said more than there is", &answer, too_large, "200000");
    // Not said: refused when it is seen.
    let mut raw = Raw::connect(server.admin);
    raw.send(head(server, "transfer-encoding: chunked\r\n"));
    let chunk = [&b"10000\r\n"[..], &vec![7; 0x10000], b"\r\n"].concat();
    for _ in 0..5 {
        raw.send(&chunk);
    }
    siege.is_refusal("seen", &raw.answer().expect("an answer"), too_large, "200000");
    siege.is_refusal("in a form", &form(server, &[("wasm", &vec![7; 200_001])]), too_large, "200000");
    siege.holds("too much");
}

fn raw_again(server: &Server, more: &str) -> Answer {
    Raw::connect(server.admin).send(head(server, more)).answer().expect("an answer")
}

#[test]
fn a_length_that_is_no_length_is_refused_and_the_connection_closed() {
    let siege = Siege::begin(Config::default());
    for lengths in [
        "content-length: -1\r\n",
        "content-length: 1e3\r\n",
        "content-length: 5\r\ncontent-length: 6\r\n",
        "content-length: 99999999999999999999999\r\n",
    ] {
        let mut raw = Raw::connect(siege.server.admin);
        let answer = raw.send(head(&siege.server, lengths)).send("hello").answer();
        // hyper answers before a request exists, or closes.
        assert!(answer.is_none_or(|answer| answer.status == 400), "{lengths}");
        assert!(raw.is_closed(), "{lengths}");
        siege.holds(lengths);
    }
}

#[test]
fn a_length_that_is_a_lie_is_refused() {
    let siege = Siege::begin(Config::default());
    let wasm = guest("ok");
    // Longer than what comes: the sender ends its side.
    let mut raw = Raw::connect(siege.server.admin);
    raw.send(head(&siege.server, &format!("content-length: {}\r\n", wasm.len() + 10))).send(&wasm);
    raw.stream().shutdown(std::net::Shutdown::Write).unwrap();
    if let Some(answer) = raw.answer() {
        siege.is_refusal("too long", &answer, (400, "upload_aborted"), "broke off");
    }
    siege.holds("a length that is too long");
    // Shorter: the rest is no request.
    let mut raw = Raw::connect(siege.server.admin);
    raw.send(head(&siege.server, "content-length: 1000\r\n")).send(&wasm);
    let answer = raw.answer().expect("an answer");
    siege.is_refusal("too short", &answer, (422, "invalid_wasm"), "");
    siege.holds("a length that is too short");
}

#[test]
fn an_upload_that_is_dropped_midway_leaves_nothing() {
    let siege = Siege::begin(Config::default());
    let wasm = guest("ok");
    for sent in [0, 1, 1_000, wasm.len() - 1] {
        for more in
            [format!("content-length: {}\r\n", wasm.len()), "transfer-encoding: chunked\r\n".to_owned()]
        {
            let mut raw = Raw::connect(siege.server.admin);
            raw.send(head(&siege.server, &more));
            if more.starts_with("transfer") {
                raw.send(format!("{:x}\r\n", wasm.len()));
            }
            raw.send(&wasm[..sent]);
            eventually("it is on its way", || siege.server.half_written().len() == 1);
            drop(raw);
            eventually("it is gone", || siege.server.half_written().is_empty());
        }
    }
    siege.holds("uploads that were dropped");
}

#[test]
fn an_upload_in_drips_is_taken_and_one_that_stops_is_not() {
    let siege = Siege::begin(Config::default());
    let server = &siege.server;
    // Stops at once, and holds its place for as long as a pause may be.
    let mut stopped = Raw::connect(server.admin);
    stopped.send(head(server, "content-length: 100\r\n")).send("\0asm");
    let wasm = guest("ok");
    let mut slow = Raw::connect(server.admin);
    let path = Server::path("slow");
    slow.send(format!(
        "PUT {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\r\n",
        server.token,
        wasm.len()
    ));
    for part in wasm.chunks(wasm.len() / 20) {
        slow.send(part);
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(slow.answer().expect("an answer").status, 201);
    assert_eq!(server.admin("DELETE", &path, &[], &[]).status, 204);
    let answer = stopped.answer().expect("an answer");
    siege.is_refusal("a pause", &answer, (408, "upload_timeout"), "30 s");
    siege.holds("a pause");
}

#[test]
fn more_uploads_than_there_is_room_for_are_told_to_come_back() {
    let siege = Siege::begin(Config::default());
    let server = &siege.server;
    let waiting: Vec<_> = (0..16)
        .map(|_| {
            let mut raw = Raw::connect(server.admin);
            raw.send(head(server, "content-length: 100\r\n")).send("x");
            raw
        })
        .collect();
    eventually("all are on their way", || server.half_written().len() == 16);
    let answer = server.upload("new", &guest("ok"));
    siege.is_refusal("one more", &answer, (503, "overloaded"), "16 uploads of this tenant");
    assert!(answer.header("retry-after").parse::<u32>().is_ok());
    server.tenant("other");
    let answer = server.upload_with("other", "f", &guest("ok"), "{}");
    assert_eq!(answer.status, 201, "another tenant's are no worse off: {}", answer.text());
    drop(waiting);
    eventually("there is room again", || server.upload("room", &guest("ok")).status != 503);
    assert_eq!(server.call("room").text(), "ok");
}

#[test]
fn a_form_that_is_none_is_refused_by_name() {
    let siege = Siege::begin(Config::default());
    let server = &siege.server;
    let wasm = guest("ok");
    let bad = (400, "invalid_multipart");
    let part = "--xx\r\ncontent-disposition: form-data; name=\"wasm\"\r\n\r\nabc";
    let long = format!("--xx\r\nx-filler: {}\r\n\r\nabc\r\n--xx--\r\n", "y".repeat(5_000));
    for (what, body, said) in [
        ("nothing", "", "ends before"),
        ("no boundary at the end", part, "ends before"),
        ("half a boundary at the end", &format!("{part}\r\n--xx-"), "ends before"),
        ("something behind a boundary", "--xxyy\r\n\r\n", "followed by"),
        ("a part without a name", "--xx\r\ncontent-type: a/b\r\n\r\nabc\r\n--xx--\r\n", "name="),
        ("a head that is too long", &long, "longer than"),
        ("no part at all", "--xx--\r\n", "`wasm` is missing"),
    ] {
        siege.is_refusal(what, &upload_form(server, body.as_bytes()), bad, said);
    }
    let answer = form(server, &[("wasm", &wasm), ("wasm", &wasm)]);
    siege.is_refusal("wasm twice", &answer, bad, "`wasm` comes twice");
    let answer = form(server, &[("manifest", b"{}"), ("wasm", &wasm), ("manifest", b"{}")]);
    siege.is_refusal("the manifest twice", &answer, bad, "`manifest` comes twice");
    let answer = form(server, &[("wasm", &wasm), ("file\u{1b}", b"x")]);
    siege.is_refusal("an unknown part", &answer, bad, "allowed are `wasm` and `manifest`");
    let answer = form(server, &[("manifest", b"{}")]);
    siege.is_refusal("no wasm", &answer, bad, "`wasm` is missing");
    for kind in
        ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=\u{7f}"]
    {
        let answer = server.admin("PUT", &Server::path("new"), &[("content-type", kind)], b"--xx");
        assert_eq!(answer.status, 400, "{kind}: {}", answer.text());
    }
    for (name, value) in [("content-type", "multipart/mixed; boundary=xx"), ("content-encoding", "gzip")] {
        let answer = server.admin("PUT", &Server::path("new"), &[(name, value)], &wasm);
        siege.is_refusal(value, &answer, (415, "unsupported_media_type"), name);
    }
    siege.holds("bad forms");
    // In either order, with what RFC 7578 allows around it, it works.
    let mut body =
        b"a preamble\r\n--xx \r\nContent-Disposition: form-data; filename=\"a;b\"; name=wasm\r\n\r\n"
            .to_vec();
    body.extend_from_slice(&wasm);
    body.extend_from_slice(
        b"\r\n--xx\r\ncontent-disposition: form-data; name=\"manifest\"\r\n\r\n{}\r\n--xx--\r\nan epilogue",
    );
    assert_eq!(upload_form(server, &body).status, 201);
}

#[test]
fn a_manifest_that_is_wrong_is_refused_with_field_value_and_what_is_allowed() {
    let siege = Siege::begin(Config::default().toml("[ceiling]\nmemory_bytes = 268435456"));
    let (limit, manifest) = ((400, "invalid_limit"), (400, "invalid_manifest"));
    let many: String = (0..65).map(|n| format!("\"V{n}\":\"\",")).collect();
    let many = format!("{{\"variables\":{{{}}}}}", many.trim_end_matches(','));
    let large = format!("{{\"variables\":{{\"A\":\"{}\"}}}}", "x".repeat(33_000));
    let huge = format!("{{\"variables\":{{\"A\":\"{}\"}}}}", "x".repeat(70_000));
    let name = format!("{{\"variables\":{{\"{}\":\"\"}}}}", "n".repeat(257));
    for (text, refusal, said) in [
        (
            r#"{"limits":{"memory_bytes":268435457}}"#,
            limit,
            "`limits.memory_bytes` is 268435457: allowed is 65536 to 268435456",
        ),
        (r#"{"limits":{"memory_bytes":1}}"#, limit, "65536"),
        (r#"{"limits":{"cpu_ms":0}}"#, limit, "`limits.cpu_ms` is 0: allowed is 1 to 60000"),
        (r#"{"limits":{"cpu_ms":60001}}"#, limit, "60001"),
        (r#"{"limits":{"wall_ms":300001}}"#, limit, "300000"),
        (r#"{"limits":{"cpu_ms":500,"wall_ms":500}}"#, limit, "`limits.wall_ms` is 500: allowed is 501 to"),
        (r#"{"limits":{"wall_ms":900}}"#, limit, "allowed is 1001 to"),
        (r#"{"limits":{"concurrent_requests":0}}"#, limit, "concurrent_requests"),
        (r#"{"limits":{"table_elements":18446744073709551615}}"#, limit, "18446744073709551615"),
        (r#"{"limits":{"cpu_ms":-1}}"#, manifest, "-1"),
        (r#"{"limits":{"cpu_ms":1.5}}"#, manifest, "1.5"),
        (r#"{"limits":{"cpu":5}}"#, manifest, "unknown field `cpu`"),
        (r#"{"limts":{}}"#, manifest, "unknown field `limts`"),
        (r#"{"reuse":{"max_requests":0}}"#, manifest, "`reuse.max_requests` is 0: allowed is 1 to 1000000"),
        (r#"{"reuse":{"max_requests":1000001}}"#, manifest, "1000001"),
        (r#"{"reuse":{"max":1}}"#, manifest, "`max`"),
        (r#"{"variables":{"A=B":"x"}}"#, manifest, "`A=B`"),
        (r#"{"variables":{"":"x"}}"#, manifest, "variable name"),
        ("{\"variables\":{\"A\\u001b[2J\":\"x\"}}", manifest, "variable name"),
        ("{\"variables\":{\"A\":\"x\\u0000y\"}}", manifest, "NUL"),
        (r#"{"variables":{"A":1}}"#, manifest, "string"),
        (&many, manifest, "65"),
        (&large, manifest, "33001"),
        (&huge, manifest, "65536"),
        (&name, manifest, "256"),
        ("[]", manifest, "object"),
        ("null", manifest, "object"),
        ("", manifest, ""),
        ("{", manifest, ""),
        ("{} {}", manifest, ""),
        ("limits = 1", manifest, "object"),
    ] {
        let shown: String = text.chars().take(80).collect();
        for target in ["new", "old"] {
            let answer = siege.server.upload_with("default", target, &guest("ok"), text);
            siege.is_refusal(&shown, &answer, refusal, said);
        }
    }
    siege.holds("bad manifests");
}

#[test]
fn a_name_that_is_no_label_is_refused_with_what_is_allowed() {
    let siege = Siege::begin(Config::default());
    let long = "a".repeat(64);
    for name in
        ["Hello", "a_b", "-a", "a-", "a.b", "%20", "a%2Fb", "..", "%2e%2e", "%00", "%1b[2J", "h%C3%A9", &long]
    {
        for target in [
            format!("/v1/tenants/{name}"),
            format!("/v1/tenants/default/functions/{name}"),
            format!("/v1/tenants/{name}/functions/f"),
        ] {
            let answer = siege.server.admin("PUT", &target, &[], &[]);
            siege.is_refusal(&target, &answer, (400, "invalid_name"), "1 to 63 of `a-z`, `0-9` and `-`");
        }
    }
    let answer = siege.server.admin("PUT", "/v1/tenants/%ff", &[], &[]);
    assert_eq!((answer.status, answer.code()), (400, "invalid_name"), "{}", answer.text());
    for target in ["/v1/tenants/", "/v1/tenants//functions/f", "/v1/tenants/default/functions/"] {
        let answer = siege.server.admin("PUT", target, &[], &[]);
        assert!(matches!(answer.status, 400 | 404 | 405), "{target}: {}", answer.text());
    }
    siege.holds("bad names");
    for name in ["a", "0", "a--b", &"a".repeat(63)] {
        assert_eq!(siege.server.deploy(name, &guest("ok")).json()["function"], *name);
        assert_eq!(siege.server.call(name).text(), "ok");
    }
}

#[test]
fn a_body_that_is_not_what_its_digest_says_is_refused() {
    let siege = Siege::begin(Config::default());
    let wasm = guest("ok");
    let put =
        |digest: &str| siege.server.admin("PUT", &Server::path("new"), &[("content-digest", digest)], &wasm);
    let wrong = "sha-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:";
    let answer = put(wrong);
    siege.is_refusal("a wrong digest", &answer, (400, "digest_mismatch"), "AAAA");
    for malformed in ["sha-256", "sha-256=abc", "sha-256=:abc:", "=", ":"] {
        siege.is_refusal(malformed, &put(malformed), (400, "invalid_header"), "content-digest");
    }
    siege.holds("wrong digests");
    // The right one is in the refusal of the wrong one.
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    let right = detail.split('`').nth(1).unwrap().to_owned();
    assert_eq!(put(&format!("md5=:abcd:, {right}")).status, 201);
}

#[test]
fn a_head_that_is_too_much_is_refused_and_harms_nobody() {
    let siege = Siege::begin(Config::default());
    let many: String = (0..200).map(|n| format!("x-{n}: y\r\n")).collect();
    let long = format!("x-long: {}\r\n", "y".repeat(200_000));
    for head in [many, long] {
        let mut raw = Raw::connect(siege.server.admin);
        let text = format!("GET /v1/tenants HTTP/1.1\r\nhost: x\r\n{head}\r\n");
        // The server may close before it has read all of it.
        let _ = raw.stream().write_all(text.as_bytes());
        assert!(raw.answer().is_none_or(|answer| matches!(answer.status, 400 | 414 | 431)));
    }
    for garbage in [
        "\r\n\r\n\r\n",
        "\0\0\0\0",
        "GET\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET / HTTP/9\r\n\r\n",
    ] {
        let mut raw = Raw::connect(siege.server.admin);
        raw.send(garbage);
        raw.stream().shutdown(std::net::Shutdown::Write).unwrap();
        assert!(raw.answer().is_none_or(|answer| answer.status >= 400), "{garbage:?}");
    }
    siege.holds("bad heads");
}
