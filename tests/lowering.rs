//! A component that was lowered answers as it would have as a component, and one that cannot be lowered stays one.
//! Must never compare a server with itself: one of the two lowers nothing.

use super::support::{Answer, Config, Raw, Server, guest, sample, wat};

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
    assert!(linked(&lowered, "lowered") >= 26.0);
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
