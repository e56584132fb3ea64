//! Which function a request reaches, and what it is told of the request: hosts, paths, fields, HTTP/1 and HTTP/2.
//! Must never take a field of the client's for one of the platform's.

use http_body_util::Full;

use crate::support::h2::{self, exchange};
use crate::support::{Answer, Config, H2, Raw, Server, get, guest, request};

/// A server where `echo` of `default` and of `other` say what they were asked.
fn server() -> Server {
    with(Config::default())
}

fn with(config: Config) -> Server {
    let server = Server::with(config);
    server.deploy("echo", &guest("headers_echo"));
    server
}

/// What `headers_echo` says of a line: `path`, `authority`, or `header NAME`, once for each time it was there.
fn seen<'a>(text: &'a str, what: &str) -> Vec<&'a str> {
    let (value_of, name) = what.strip_prefix("header ").map_or((" ", what), |_| (": ", what));
    text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(value_of)).collect()
}

fn host(server: &Server, host: &str, target: &str) -> Answer {
    request(server.ingress, "GET", target, &[("host", host)], &[])
}

/// The answer to these bytes, on a connection of their own.
fn raw(server: &Server, bytes: &str) -> Option<Answer> {
    Raw::connect(server.ingress).send(bytes).answer()
}

#[track_caller]
fn is_no_route(answer: &Answer) {
    assert_eq!((answer.status, answer.code()), (404, "no_route"), "{}", answer.text());
}

#[test]
fn a_function_answers_by_path_without_its_prefix_and_is_told_of_it() {
    let server = server();
    for (target, path) in [
        ("/default/echo", "/"),
        ("/default/echo/", "/"),
        ("/default/echo/a/b", "/a/b"),
        ("/default/echo/a/b/?q=1&r=/x//y", "/a/b/?q=1&r=/x//y"),
        ("/default/echo?q=1", "/?q=1"),
        ("/default/echo/default/echo/", "/default/echo/"),
    ] {
        let text = get(server.ingress, target).text();
        assert_eq!(seen(&text, "path"), [path], "{target}");
        assert_eq!(seen(&text, "header x-forwarded-prefix"), ["/default/echo"], "{target}");
    }
}

#[test]
fn a_function_answers_by_host_with_its_whole_path() {
    let server = server();
    for target in ["/", "/a/b?q=%20&q", "/default/echo/"] {
        let text = host(&server, "echo.default.localhost", target).text();
        assert_eq!(seen(&text, "path"), [target]);
        assert_eq!(seen(&text, "authority"), ["echo.default.localhost"]);
        assert!(seen(&text, "header x-forwarded-prefix").is_empty(), "{text}");
    }
}

#[test]
fn functions_of_the_same_name_are_told_apart_by_their_tenant() {
    let server = server();
    server.tenant("other");
    let manifest = r#"{"variables": {"WHO": "other"}}"#;
    assert_eq!(server.upload_with("other", "echo", &guest("env_echo"), manifest).status, 201);
    assert!(get(server.ingress, "/other/echo/").text().contains("WHO=other"));
    assert!(host(&server, "echo.other.localhost", "/").text().contains("WHO=other"));
    assert!(get(server.ingress, "/default/echo/").text().starts_with("method GET"));
}

#[test]
fn a_host_is_compared_without_case_and_without_its_port() {
    let server = server();
    for name in [
        "echo.default.localhost:8080",
        "echo.default.localhost:1",
        "echo.default.LOCALHOST",
        "Echo.Default.LocalHost:80",
        "ECHO.DEFAULT.LOCALHOST",
    ] {
        let answer = host(&server, name, "/x");
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        assert_eq!(seen(&answer.text(), "header x-forwarded-host"), [name]);
    }
}

#[test]
fn nobody_answers_where_there_is_no_function() {
    let server = server();
    for target in [
        "/",
        "/default",
        "/default/",
        "/default//",
        "/default/nobody/",
        "/nobody/echo/",
        "//default/echo/",
        "/Default/echo/",
        "/default/ECHO/",
    ] {
        is_no_route(&get(server.ingress, target));
    }
    for name in [
        "localhost",
        "default.localhost",
        "nobody.default.localhost",
        "echo.nobody.localhost",
        "x.echo.default.localhost",
        "echo.default.localhost.evil.test",
        ".localhost",
        "..localhost",
        "echo.default.",
        "[::1]",
    ] {
        is_no_route(&host(&server, name, "/"));
    }
    // Below the base domain the path names nobody.
    is_no_route(&host(&server, "nobody.default.localhost", "/default/echo/"));
    is_no_route(&host(&server, "default.localhost", "/default/echo/"));
}

#[test]
fn a_refusal_comes_in_the_form_the_client_accepts() {
    let server = Server::start();
    let asked = |accept: &str| request(server.ingress, "GET", "/a/b/", &[("accept", accept)], &[]);
    for accept in ["", "*/*", "application/json", "application/problem+json, text/html;q=0.5"] {
        let answer = asked(accept);
        is_no_route(&answer);
        assert_eq!(answer.header("content-type"), "application/problem+json", "{accept}");
        let problem = answer.json();
        assert_eq!(problem["status"], 404);
        assert_eq!(problem["code"], "no_route");
        assert_eq!(problem["request_id"], answer.header("x-request-id"));
    }
    for (accept, kind) in [
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html"),
        ("text/plain", "text/plain"),
    ] {
        let answer = asked(accept);
        is_no_route(&answer);
        assert!(answer.header("content-type").starts_with(kind), "{accept}");
        assert!(answer.text().contains("no_route") && answer.text().contains(answer.header("x-request-id")));
    }
}

#[test]
fn a_base_domain_of_the_operators_is_the_one_that_routes() {
    let server = with(Config::default().toml("base_domain = \"fn.example.test\""));
    for name in ["echo.default.fn.example.test", "echo.default.FN.Example.Test:8080"] {
        assert_eq!(host(&server, name, "/").status, 200, "{name}");
    }
    is_no_route(&host(&server, "echo.default.localhost", "/"));
    is_no_route(&host(&server, "echo.default.xfn.example.test", "/"));
    assert_eq!(get(server.ingress, "/default/echo/").status, 200);
    assert_eq!(host(&server, "fn.example.test", "/default/echo/").status, 200);
}

#[test]
fn a_missing_repeated_or_invalid_host_is_a_bad_request() {
    let server = server();
    let target = "GET /default/echo/ HTTP/1.1\r\nconnection: close\r\n";
    for hosts in [
        "",
        "host: a.test\r\nhost: a.test\r\n",
        "host: a.test\r\nhost: echo.default.localhost\r\n",
        "host: a b\r\n",
        "host: a.test/default\r\n",
        "host: a.test, b.test\r\n",
        "host: user@echo.default.localhost\r\n",
        "host: a.test:port\r\n",
        "host: \u{e9}.test\r\n",
    ] {
        let answer = raw(&server, &format!("{target}{hosts}\r\n")).expect("an answer");
        assert_eq!((answer.status, answer.code()), (400, "bad_request"), "{hosts:?}: {}", answer.text());
    }
    assert_eq!(server.call("echo").status, 200);
}

#[test]
fn an_absolute_target_must_agree_with_the_host() {
    let server = server();
    let ask = |target: &str, host: &str| {
        raw(&server, &format!("GET {target} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n")).unwrap()
    };
    let same = ask("http://echo.default.localhost/x", "echo.default.localhost");
    assert_eq!(seen(&same.text(), "path"), ["/x"], "{}", same.text());
    let other = ask("http://echo.default.localhost/x", "localhost");
    assert_eq!((other.status, other.code()), (400, "bad_request"));
}

#[test]
fn http_1_0_is_answered_and_needs_no_host() {
    let server = server();
    let mut raw = Raw::connect(server.ingress);
    let answer = raw.send("GET /default/echo/old HTTP/1.0\r\n\r\n").answer().expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(seen(&answer.text(), "path"), ["/old"]);
    assert!(raw.is_closed(), "HTTP/1.0 keeps no connection unless asked");
    let by_host = "GET /old HTTP/1.0\r\nhost: echo.default.localhost\r\n\r\n";
    assert_eq!(Raw::connect(server.ingress).send(by_host).answer().expect("an answer").status, 200);
}

#[test]
fn a_guest_is_told_the_truth_about_who_asks() {
    let server = server();
    let forged = [
        ("x-forwarded-for", "6.6.6.6"),
        ("x-forwarded-host", "evil.test"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-prefix", "/evil"),
        ("x-forwarded-anything", "evil"),
        ("forwarded", "for=6.6.6.6"),
        ("x-real-ip", "6.6.6.6"),
        ("x-request-id", "evil"),
        ("x-spawnpoint-error", "evil"),
        ("X-Spawnpoint-Tenant", "evil"),
        ("x-honest", "kept"),
    ];
    let answer = request(server.ingress, "GET", "/default/echo/", &forged, &[]);
    let text = answer.text();
    assert!(!text.contains("evil") && !text.contains("6.6.6.6"), "{text}");
    assert_eq!(seen(&text, "header x-honest"), ["kept"]);
    assert_eq!(seen(&text, "header x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(seen(&text, "header x-forwarded-proto"), ["http"]);
    assert_eq!(seen(&text, "header x-forwarded-host"), [server.ingress.to_string().as_str()]);
    assert_eq!(seen(&text, "header x-request-id"), [answer.header("x-request-id")]);
}

#[test]
fn fields_of_one_connection_end_there() {
    let server = server();
    let text = raw(
        &server,
        "POST /default/echo/ HTTP/1.1\r\nhost: a.test\r\nconnection: close, x-first\r\nconnection: x-second\r\n\
         x-first: 1\r\nx-second: 2\r\nx-kept: 3\r\nkeep-alive: timeout=5\r\nproxy-connection: x\r\nte: gzip\r\n\
         proxy-authorization: x\r\nupgrade: websocket\r\nhttp2-settings: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    )
    .expect("an answer")
    .text();
    assert_eq!(seen(&text, "header x-kept"), ["3"], "{text}");
    for name in [
        "connection",
        "x-first",
        "x-second",
        "keep-alive",
        "proxy-connection",
        "te",
        "proxy-authorization",
        "upgrade",
        "http2-settings",
        "transfer-encoding",
    ] {
        assert!(seen(&text, &format!("header {name}")).is_empty(), "{name} in {text}");
    }
}

#[test]
fn connection_cannot_take_away_what_the_platform_says() {
    let server = server();
    let asked = [("connection", "close, host, x-forwarded-for, x-forwarded-prefix, x-request-id")];
    let text = request(server.ingress, "GET", "/default/echo/", &asked, &[]).text();
    assert_eq!(seen(&text, "authority"), [server.ingress.to_string().as_str()]);
    for name in ["x-forwarded-host", "x-forwarded-for", "x-forwarded-prefix", "x-request-id"] {
        assert_eq!(seen(&text, &format!("header {name}")).len(), 1, "{name} in {text}");
    }
}

#[test]
fn http_2_reaches_functions_by_host_and_by_path() {
    let server = server();
    let client = H2::connect(server.ingress);
    let answer = client.get("http://echo.default.localhost/a?b").expect("an answer");
    assert_eq!(answer.status, 200);
    let text = answer.text();
    assert_eq!(
        (seen(&text, "path"), seen(&text, "authority")),
        (vec!["/a?b"], vec!["echo.default.localhost"])
    );
    assert_eq!(seen(&text, "header x-forwarded-host"), ["echo.default.localhost"], "{text}");
    assert_eq!(seen(&text, "header x-forwarded-for"), ["127.0.0.1"]);
    let text = client.get("http://a.test/default/echo/a?b").expect("an answer").text();
    assert_eq!((seen(&text, "path"), seen(&text, "authority")), (vec!["/a?b"], vec!["a.test"]));
    assert_eq!(seen(&text, "header x-forwarded-prefix"), ["/default/echo"]);
    is_no_route(&client.get("http://nobody.default.localhost/").expect("an answer"));
}

#[test]
fn http_2_carries_bodies_and_many_streams_at_once() {
    let server = server();
    server.deploy("body", &guest("echo"));
    let client = H2::connect(server.ingress);
    let all: Vec<_> = (0..60_usize)
        .map(|n| {
            let body = vec![b'a' + (n % 26) as u8; n * 1_000];
            let uri = "http://body.default.localhost/";
            let asked = http::Request::post(uri).body(Full::from(body.clone())).expect("a request");
            (client.start(exchange(client.sender(), asked)), body)
        })
        .collect();
    for (answer, body) in all {
        let answer = client.run(answer).expect("a task").expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(answer.whole && answer.body == body);
    }
}

#[test]
fn authority_and_host_must_agree_on_http_2() {
    let server = server();
    let client = H2::connect(server.ingress);
    let ask = |host: &str| {
        let asked = http::Request::get("http://echo.default.localhost/").header("host", host);
        client.send(asked.body(Full::default()).expect("a request")).expect("an answer")
    };
    assert_eq!(ask("echo.default.localhost").status, 200);
    let other = ask("elsewhere.test");
    assert_eq!((other.status, other.code()), (400, "bad_request"));
}

#[test]
fn connect_is_refused() {
    let server = server();
    let asked = "CONNECT echo.default.localhost:80 HTTP/1.1\r\nhost: echo.default.localhost:80\r\n\r\n";
    let answer = raw(&server, asked).expect("an answer");
    assert_eq!((answer.status, answer.code()), (400, "bad_request"));
    let client = H2::connect(server.ingress);
    let mut asked = h2::get("echo.default.localhost:80");
    *asked.method_mut() = http::Method::CONNECT;
    // The client's library may refuse to let it through as well as the server may answer.
    assert!(client.send(asked).map_or(400, |answer| answer.status) >= 400);
    assert_eq!(client.get("http://echo.default.localhost/").expect("an answer").status, 200);
}

#[test]
fn options_for_everything_is_answered_and_reaches_no_other_function() {
    let server = server();
    is_no_route(&request(server.ingress, "OPTIONS", "*", &[], &[]));
    let answer = request(server.ingress, "OPTIONS", "*", &[("host", "echo.default.localhost")], &[]);
    assert!(answer.status < 500, "{}: {}", answer.status, answer.text());
    assert_eq!(request(server.ingress, "OPTIONS", "/default/echo/x", &[], &[]).status, 200);
}
