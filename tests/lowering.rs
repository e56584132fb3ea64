//! A component that was lowered answers as it would have as a component, and one that cannot be lowered stays one.
//! Must never compare a server with itself: one of the two lowers nothing.

use super::support::{Answer, Config, Raw, Server, get, guest, sample, wat};

/// Programs that the host has linked, in this form.
fn linked(server: &Server, form: &str) -> f64 {
    server.metric("spawnpoint_programs_linked_total", form)
}

fn server(lowers: bool) -> Server {
    let choice = if lowers { "auto" } else { "off" };
    // Slow machines are not what is compared.
    let settings = "threads = 1\n[limits]\ncpu_ms = 20000\nwall_ms = 30000\n[breaker]\nenabled = false";
    Server::with(Config::default().toml(&format!("lower_components = \"{choice}\"\n{settings}")))
}

/// What of an answer must be the same: not its id, its times and how it started; nor how its body was framed, which goes
/// by what was there when the head went out.
fn essence(answer: &Answer) -> String {
    let own = [
        "x-request-id",
        "server-timing",
        "date",
        "x-spawnpoint-start",
        "content-length",
        "transfer-encoding",
    ];
    let mut head: Vec<_> = answer
        .headers
        .iter()
        .filter(|(name, _)| !own.contains(&name.to_lowercase().as_str()))
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    head.sort();
    let text = answer.text();
    // Whoever echoes its request echoes its id.
    let body: Vec<_> =
        text.lines().filter(|line| !line.contains("request-id") && !line.contains("\"request_id")).collect();
    format!("{} {head:?} {} {}", answer.status, text.len() / 64, body.join("\n"))
}

fn ask(server: &Server, function: &str, request: &str) -> String {
    let (line, body) = request.split_once('|').unwrap_or((request, ""));
    let (method, target) = line.split_once(' ').expect("a method and a target");
    let length = if body.is_empty() { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    let head = format!(
        "{method} /default/{function}{target} HTTP/1.1\r\nhost: a.test\r\nx-one: 1\r\nx-two: \u{e9}\r\n{length}\r\n"
    );
    let answer = Raw::connect(server.ingress).send(format!("{head}{body}")).answer_to(method);
    answer.map_or_else(|| "no answer".to_owned(), |answer| essence(&answer))
}

/// Guests of every habit, and what each is asked.
const ASKED: &[(&str, &[&str])] = &[
    ("ok", &["GET /", "HEAD /", "POST /|body"]),
    ("echo", &["POST /|a body", "POST /", "PUT /|x"]),
    ("headers_echo", &["GET /a/b?c=%20d&e", "PURGE /", "OPTIONS /x", "DELETE /", "PATCH /|p", "TRACE /"]),
    ("env_echo", &["GET /"]),
    ("counter", &["GET /", "GET /?trap"]),
    ("big_response", &["GET /?n=0", "GET /?n=1", "GET /?n=70000", "GET /?n=300000&chunked"]),
    ("trailers", &["GET /"]),
    ("error_code", &["GET /", "GET /?case=denied", "GET /?case=timeout", "GET /?case=loop"]),
    ("no_response", &["GET /"]),
    ("unreachable", &["GET /"]),
    ("panic", &["GET /"]),
    ("exit", &["GET /", "GET /?code=3"]),
    (
        "bad_head",
        &[
            "GET /?case=short",
            "GET /?case=long",
            "GET /?case=two-lengths",
            "GET /?case=not-a-number",
            "GET /?case=connection",
        ],
    ),
    ("status_101", &["GET /", "GET /?status=99", "GET /?status=600", "GET /?status=418"]),
    ("forge", &["GET /", "GET /?status=200"]),
    ("fields_flood", &["GET /"]),
    ("handles", &["GET /"]),
    ("hog", &["GET /?answer"]),
    ("random_flood", &["GET /?n=100", "GET /"]),
    ("sleep", &["GET /?ms=20"]),
    ("read_slowly", &["POST /?n=4&ms=1|0123456789"]),
    ("never_read", &["POST /|unread"]),
    ("deep_recursion", &["GET /"]),
    ("marks", &["GET /", "GET /?keep", "GET /"]),
    ("stdout_flood", &["GET /?lines=50"]),
    // Of 0.3.
    (
        "many_p3",
        &[
            "GET /?do=ok",
            "POST /?do=ok|a body",
            "GET /?do=counter",
            "GET /?do=trap",
            "GET /?do=error",
            "GET /?do=hog",
            "GET /?do=canary",
            "GET /?do=small",
            "GET /?do=keep",
            "GET /?do=ok",
        ],
    ),
    (
        "pipes_p3",
        &[
            "GET /?do=gather",
            "POST /?do=gather|a body of some bytes",
            "POST /?do=echo|a body that comes back",
            "GET /?do=echo",
            "GET /a/b?c&do=head",
            "PURGE /?do=head",
            "GET /?do=big",
            "GET /?do=exact",
            "HEAD /?do=exact",
            "GET /?do=trailers",
            "GET /?do=unread",
            "POST /?do=unread|nobody reads this",
            "POST /?do=dropped|four",
            "GET /?do=late",
            "GET /?do=turns",
            "GET /?do=across",
            "GET /?do=cancelled",
            "GET /?do=sent",
            "GET /?do=status",
            "POST /?do=forward|it goes past the guest",
            "GET /?do=forward",
            "HEAD /?do=nobody",
            "GET /?do=nobody",
        ],
    ),
];

#[test]
fn a_guest_answers_the_same_whether_it_was_lowered_or_not() {
    let (lowered, component) = (server(true), server(false));
    for server in [&lowered, &component] {
        for (name, _) in ASKED {
            let manifest = r#"{"variables": {"GREETING": "hello", "EMPTY": ""}}"#;
            server.deploy_with(&name.replace('_', "-"), &guest(name), manifest);
        }
        server.optimised();
    }
    assert_eq!((linked(&lowered, "component"), linked(&component, "lowered")), (0.0, 0.0));
    assert!(linked(&lowered, "lowered") >= 27.0);
    for (name, requests) in ASKED {
        // A second time on an instance that was put back, if there is one.
        for request in requests.iter().chain(*requests) {
            let function = name.replace('_', "-");
            let [one, other] = [&lowered, &component].map(|server| ask(server, &function, request));
            assert!(one != "no answer", "{name}: {request}");
            assert_eq!(one, other, "{name}: {request}");
        }
    }
}

/// A request whose body comes in pieces, with trailers.
fn in_pieces(server: &Server, function: &str, target: &str) -> Option<Answer> {
    let mut raw = Raw::connect(server.ingress);
    raw.send(format!(
        "POST /default/{function}{target} HTTP/1.1\r\nhost: a.test\r\nte: trailers\r\ntrailer: x-tail\r\n\
         transfer-encoding: chunked\r\n\r\n"
    ));
    for n in 1..40_usize {
        let piece = "x".repeat(n * 97);
        raw.send(format!("{:x}\r\n{piece}\r\n", piece.len()));
    }
    raw.send("0\r\nx-tail: yes\r\n\r\n").answer()
}

#[test]
fn bodies_go_through_a_lowered_guest_of_0_3_as_they_do_through_a_component() {
    let (lowered, component) = (server(true), server(false));
    for server in [&lowered, &component] {
        server.deploy("pipes", &guest("pipes_p3"));
        server.optimised();
    }
    let (form, never) = (linked(&lowered, "lowered"), linked(&component, "lowered"));
    assert!(form > 0.0 && never == 0.0);
    for target in ["/?do=echo", "/?do=gather", "/?do=forward"] {
        let [one, other] = [&lowered, &component].map(|server| {
            let answer = in_pieces(server, "pipes", target).expect("an answer");
            assert!(answer.whole, "{answer:?}");
            (answer.status, answer.text(), answer.trailers)
        });
        assert!(one.1.len() > 20);
        assert_eq!(one, other, "{target}");
    }
    for server in [&lowered, &component] {
        let answer = in_pieces(server, "pipes", "/?do=pass").expect("an answer");
        assert_eq!((answer.text().as_str(), answer.trailer("x-tail")), ("75660 bytes", "yes"));
    }
    let answer = in_pieces(&lowered, "pipes", "/?do=pass-unread").expect("an answer");
    assert_eq!((answer.text().as_str(), answer.whole), ("unread", true));
    let answer = in_pieces(&lowered, "pipes", "/?do=echo").expect("an answer");
    assert_eq!((answer.text().len(), answer.trailer("x-tail")), (75_660, "yes"));
    // An answer is whole when it has been taken, whatever its guest goes on with.
    for server in [&lowered, &component] {
        let answer = get(server.ingress, "/default/pipes/?do=restless");
        assert_eq!((answer.status, answer.text().as_str(), answer.whole), (203, "whole", true));
    }
    // What breaks off does so for the same reason, whoever of the two sees it first.
    for (target, code) in [("/?do=short", "bad_response"), ("/?do=long", "bad_response"), ("/?do=broken", "")]
    {
        for server in [&lowered, &component] {
            let request = format!("GET /default/pipes{target} HTTP/1.1\r\nhost: a.test\r\n\r\n");
            let answer = Raw::connect(server.ingress).send(request).answer();
            let is_broken = answer.as_ref().is_none_or(|answer| !answer.whole || answer.status == 502);
            assert!(is_broken, "{target}: {answer:?}");
            let told = answer.filter(|answer| answer.status == 502);
            assert!(told.is_none_or(|answer| code.is_empty() || answer.code() == code), "{target}");
        }
    }
    // Neither kind of end leaves anything that makes the next one fail.
    let ok = in_pieces(&lowered, "pipes", "/?do=gather").expect("an answer");
    assert_eq!(ok.text(), "gather: 75660 bytes, 1 trailers");
}

#[test]
fn an_instance_of_a_lowered_guest_is_put_back_and_answers_the_same() {
    let server = server(true);
    for name in ["ok", "many_p3", "pipes_p3"] {
        server.deploy(&name.replace('_', "-"), &guest(name));
    }
    server.optimised();
    for target in [
        "/default/ok/",
        "/default/many-p3/?do=ok",
        "/default/pipes-p3/?do=across",
        "/default/pipes-p3/?do=forward",
    ] {
        let mut raw = Raw::connect(server.ingress);
        let mut put_back = 0;
        for _ in 0..200 {
            let answer = raw.get(target).expect("an answer");
            assert!(matches!(answer.status, 200 | 203), "{target}: {}", answer.text());
            put_back += u32::from(matches!(answer.header("x-spawnpoint-start"), "reset" | "warm"));
        }
        assert!(put_back > 100, "{target}: {put_back}");
    }
    assert_eq!(server.metric("spawnpoint_resets_given_up_total", ""), 0.0);
}

#[test]
fn a_request_that_was_kept_is_not_taken_for_the_next_one() {
    let server = server(true);
    server.deploy_with("pipes", &guest("pipes_p3"), r#"{"reuse": {"max_requests": 100}}"#);
    server.optimised();
    let mut raw = Raw::connect(server.ingress);
    let mut ask = |what: &str, body: &str| {
        let head = format!(
            "POST /default/pipes/?do={what} HTTP/1.1\r\nhost: a.test\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        raw.send(head + body).answer().expect("an answer")
    };
    // The first calls may be on an instance each, until one is there that is reused.
    for _ in 0..3 {
        ask("gather", "some");
    }
    assert_eq!(ask("hoard", "the first body").text(), "kept");
    let answer = ask("release", "the second, which is longer");
    assert_eq!(answer.header("x-spawnpoint-start"), "reused");
    assert_eq!(answer.text(), "release: 27 bytes, no trailers");
}

#[test]
fn samples_answer_the_same_too() {
    let (lowered, component) = (server(true), server(false));
    let samples = ["hello_wasip2", "hello_p3", "echo", "json_api"];
    for server in [&lowered, &component] {
        for name in samples {
            server.deploy(&name.replace('_', "-"), &sample(name));
        }
    }
    for name in samples {
        for request in ["GET /", "GET /?name=you", "POST /|{\"a\": [1, 2]}", "POST /items|{\"name\": \"x\"}"]
        {
            let function = name.replace('_', "-");
            let [one, other] = [&lowered, &component].map(|server| ask(server, &function, request));
            assert_eq!(one, other, "{name}: {request}");
        }
    }
    assert!(linked(&lowered, "lowered") >= 4.0 && linked(&lowered, "component") == 0.0);
}

#[test]
fn what_is_built_in_another_way_or_imports_more_stays_a_component_and_answers() {
    let server = server(true);
    server.deploy("fs", &guest("fs_probe"));
    server.deploy("handmade", &wat("handmade"));
    assert_eq!((linked(&server, "lowered"), linked(&server, "component")), (0.0, 2.0));
    for name in ["fs", "handmade"] {
        assert_eq!(server.call(name).status, 200);
    }
    let log = server.log();
    assert!(log.contains("wasi:filesystem/"), "the reason is in the log");
}

#[test]
fn lowering_can_be_turned_off_and_on_again_for_what_is_deployed() {
    let mut server = server(true);
    server.deploy("f", &guest("ok"));
    server.optimised();
    let (other, own) = ("lower_components = \"off\"", "lower_components = \"auto\"");
    for (settings, form, never) in [(other, "component", "lowered"), (own, "lowered", "component")] {
        server.kill();
        server.start_again_with(Config::default().toml(settings));
        let answer = server.call("f");
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
        assert!(linked(&server, form) > 0.0 && linked(&server, never) == 0.0, "{settings}");
    }
}
