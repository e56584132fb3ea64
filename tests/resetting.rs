//! An instance that ended cleanly answers again as if it were new, or not at all. `SPAWNPOINT_CANARY` says how many
//! times it is asked (500). Must never take the server's word for it: the guest looks for what it left.

use std::collections::BTreeSet;

use super::support::{Answer, Config, Raw, Server, get, guest};

fn start(answer: &Answer) -> &str {
    answer.header("x-spawnpoint-start")
}

fn given_up(server: &Server) -> f64 {
    server.metric("spawnpoint_resets_given_up_total", "")
}

fn rounds() -> u32 {
    let told = std::env::var_os("SPAWNPOINT_CANARY");
    told.and_then(|text| text.to_str()?.trim().parse().ok()).unwrap_or(500)
}

/// A server whose calls find nothing that was made ahead.
fn nothing_ready() -> Server {
    Server::with(Config::default().toml("threads = 1\n[server]\nready_per_program = 0"))
}

/// Asks on one connection, one after the other; returns the answers' texts and how each started.
fn ask(server: &Server, target: &str, times: u32) -> (BTreeSet<String>, BTreeSet<String>) {
    let mut raw = Raw::connect(server.ingress);
    let (mut texts, mut starts) = (BTreeSet::new(), BTreeSet::new());
    for n in 0..times {
        let answer = raw.get(target).unwrap_or_else(|| panic!("no answer at {n}"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        texts.insert(answer.text());
        starts.insert(start(&answer).to_owned());
    }
    (texts, starts)
}

/// How calls start whose instances are put back: what one leaves is worth keeping once the next one came soon.
fn put_back() -> BTreeSet<String> {
    BTreeSet::from(["reset".to_owned(), "spawned".to_owned()])
}

fn as_new(text: &str) -> bool {
    text.starts_with("calls=0 ") && text.ends_with(" zero")
}

#[test]
fn an_instance_that_is_put_back_shows_nothing_of_the_call_before() {
    shows_nothing("threads = 1");
}

#[test]
fn nor_does_one_of_a_component_that_was_not_lowered() {
    shows_nothing("threads = 1\nlower_components = \"off\"");
}

fn shows_nothing(settings: &str) {
    let server = Server::with(Config::default().toml(settings));
    server.deploy("f", &guest("marks"));
    let (texts, starts) = ask(&server, "/default/f/", rounds());
    assert!(texts.len() == 1 && texts.iter().all(|text| as_new(text)), "{texts:?}");
    assert_eq!(given_up(&server), 0.0);
    assert!(starts.iter().any(|start| start == "warm" || start == "reset"), "{starts:?}");
}

#[test]
fn functions_of_a_tenant_that_were_made_of_one_upload_share_what_is_put_back() {
    let server = nothing_ready();
    let wasm = guest("env_echo");
    for name in ["one", "two", "six"] {
        let manifest = format!(r#"{{"variables": {{"WHO": "only {name}"}}}}"#);
        server.deploy_with(name, &wasm, &manifest);
    }
    server.optimised();
    let mut raw = Raw::connect(server.ingress);
    let mut starts = BTreeSet::new();
    for n in 0..rounds() {
        for name in ["one", "two", "six"] {
            let answer = raw.get(&format!("/default/{name}/")).unwrap_or_else(|| panic!("no answer at {n}"));
            assert!(answer.text().contains(&format!("WHO=only {name}")), "at {n}: {}", answer.text());
            assert_eq!(answer.text().matches("only").count(), 1, "at {n}: {}", answer.text());
            starts.insert(start(&answer).to_owned());
        }
    }
    assert_eq!(starts, put_back());
    // Whoever was not called yet finds what the others left: not after a second's rest, which a busy machine may take.
    let mut starts = BTreeSet::new();
    for n in 0..5 {
        let name = format!("new-{n}");
        server.deploy_with(&name, &wasm, &format!(r#"{{"variables": {{"WHO": "only {name}"}}}}"#));
        ask(&server, "/default/one/", 4);
        let answer = server.call(&name);
        assert!(answer.text().contains(&format!("WHO=only {name}")), "{}", answer.text());
        starts.insert(start(&answer).to_owned());
    }
    assert!(starts.contains("reset"), "{starts:?}");
    assert_eq!(given_up(&server), 0.0);
}

#[test]
fn what_is_put_back_stays_with_its_tenant_its_upload_and_its_limits() {
    let server = nothing_ready();
    server.tenant("other");
    let wasm = guest("marks");
    server.deploy("f", &wasm);
    assert_eq!(server.upload_with("other", "f", &wasm, "{}").status, 201);
    server.deploy("g", &super::support::wasm::stamped(&wasm, "else"));
    server.deploy_with("h", &wasm, r#"{"limits": {"memory_bytes": 33554432}}"#);
    server.optimised();
    for other in ["/other/f/", "/default/g/", "/default/h/"] {
        let (_, starts) = ask(&server, "/default/f/", 20);
        assert!(starts.contains("reset"), "something was put back: {starts:?}");
        let answer = get(server.ingress, other);
        assert_eq!((answer.status, start(&answer)), (200, "spawned"), "{other}: {}", answer.text());
    }
}

#[test]
fn a_function_that_is_made_cold_takes_nothing_of_others() {
    let server = nothing_ready();
    for name in ["f", "g"] {
        server.deploy(name, &guest("marks"));
    }
    server.optimised();
    for name in ["f", "g"] {
        let (_, starts) = ask(&server, &format!("/default/{name}/"), 20);
        assert!(starts.contains("reset"), "{starts:?}");
    }
    let path = "/v1/tenants/default/functions/f/cold";
    let json = [("content-type", "application/json")];
    for (what, expected) in [("program", "cold"), ("instances", "spawned")] {
        let body = format!(r#"{{"drop": "{what}"}}"#);
        assert_eq!(server.admin("POST", path, &json, body.as_bytes()).status, 200);
        assert_eq!(start(&server.call("f")), expected);
    }
    let (_, starts) = ask(&server, "/default/f/", 4);
    assert!(starts.contains("reset"), "{starts:?}");
}

#[test]
fn an_instance_is_put_back_as_part_of_a_call_where_none_is_ready() {
    let server = nothing_ready();
    server.deploy("f", &guest("marks"));
    let (texts, starts) = ask(&server, "/default/f/", 200);
    assert!(texts.iter().all(|text| as_new(text)), "{texts:?}");
    assert_eq!(starts, put_back());
    assert_eq!(given_up(&server), 0.0);
}

#[test]
fn memory_that_one_call_grew_by_much_is_not_kept_for_the_next() {
    let server = nothing_ready();
    server.deploy("f", &guest("marks"));
    for grow in [1, 3, 40, 1, 200, 1, 16, 2] {
        let answer = get(server.ingress, &format!("/default/f/?grow={grow}"));
        assert!(as_new(&answer.text()), "{grow}: {}", answer.text());
    }
}

#[test]
fn a_guest_that_keeps_a_handle_is_never_put_back() {
    let server = nothing_ready();
    server.deploy("f", &guest("marks"));
    let (texts, starts) = ask(&server, "/default/f/?keep", 50);
    assert!(texts.iter().all(|text| as_new(text)), "{texts:?}");
    assert_eq!(starts, BTreeSet::from(["spawned".to_owned()]));
}

#[test]
fn a_guest_that_trapped_is_never_put_back() {
    let server = nothing_ready();
    server.deploy_with("f", &guest("counter"), r#"{"breaker": {"enabled": false}}"#);
    let mut starts = BTreeSet::new();
    for _ in 0..20 {
        assert_eq!(get(server.ingress, "/default/f/?trap").code(), "guest_trap");
        let next = get(server.ingress, "/default/f/");
        assert_eq!((next.text().as_str(), start(&next)), ("1", "spawned"));
        let again = get(server.ingress, "/default/f/");
        assert_eq!(again.text(), "1");
        starts.insert(start(&again).to_owned());
    }
    assert!(starts.contains("reset"), "{starts:?}");
}

#[test]
fn instances_that_are_reused_are_put_back_when_their_count_is_full() {
    let server = nothing_ready();
    server.deploy_with("f", &guest("counter"), r#"{"reuse": {"max_requests": 3}}"#);
    // What is compiled a second time begins with an instance of its own.
    server.optimised();
    let answers: Vec<_> = (0..9).map(|_| get(server.ingress, "/default/f/")).collect();
    let texts: Vec<_> = answers.iter().map(Answer::text).collect();
    assert_eq!(texts, ["1", "2", "3", "1", "2", "3", "1", "2", "3"]);
    let starts: Vec<_> = answers.iter().map(start).collect();
    assert_eq!(starts.iter().filter(|start| **start == "reused").count(), 6, "{starts:?}");
    assert!(starts.contains(&"reset"), "{starts:?}");
}

#[test]
fn an_operator_who_wants_new_instances_gets_them() {
    let server = Server::with(
        Config::default().toml("threads = 1\nreset_instances = \"off\"\n[server]\nready_per_program = 0"),
    );
    server.deploy("f", &guest("marks"));
    let (texts, starts) = ask(&server, "/default/f/", 50);
    assert!(texts.iter().all(|text| as_new(text)), "{texts:?}");
    assert_eq!(starts, BTreeSet::from(["spawned".to_owned()]));
}

#[test]
fn after_a_restart_instances_are_put_back_as_before() {
    let mut server = nothing_ready();
    server.deploy("f", &guest("marks"));
    server.kill();
    server.start_again();
    assert_eq!(start(&get(server.ingress, "/default/f/")), "cold");
    assert_eq!(ask(&server, "/default/f/", 20).1, put_back());
}

#[test]
fn an_upload_cannot_use_the_names_that_put_instances_back() {
    let server = Server::start();
    for name in ["spawnpoint-reset", "spawnpoint-written-pages"] {
        let import = wat::parse_str(format!("(component (import \"{name}\" (func)))")).unwrap();
        let answer = server.upload("f", &import);
        assert_eq!(answer.status, 422, "{}", answer.text());
        assert!(
            answer.text().contains("unsupported_import") && answer.text().contains(name),
            "{}",
            answer.text()
        );
    }
}

#[test]
fn an_instance_of_0_3_is_put_back_as_well() {
    let server = nothing_ready();
    server.deploy("f", &guest("many_p3"));
    let (texts, starts) = ask(&server, "/default/f/?do=counter", rounds());
    assert_eq!(texts, BTreeSet::from(["1".to_owned()]));
    // A guest may go on for a moment after its answer: then the next call finds its instance not yet put back.
    assert!(starts.contains("reset") && !starts.contains("reused"), "{starts:?}");
    assert_eq!(given_up(&server), 0.0);
}

#[test]
fn a_guest_that_reads_all_its_memory_is_not_put_back_and_answers_as_well() {
    let server = nothing_ready();
    server.deploy("f", &guest("many_p3"));
    let (texts, _) = ask(&server, "/default/f/?do=small", 200);
    assert_eq!(texts, BTreeSet::from(["clean".to_owned()]));
    // It is not tried again each time.
    assert!((1.0..20.0).contains(&given_up(&server)), "{}", given_up(&server));
}

#[test]
fn a_guest_of_0_3_that_keeps_a_stream_is_never_put_back() {
    let server = nothing_ready();
    server.deploy("f", &guest("many_p3"));
    let (texts, starts) = ask(&server, "/default/f/?do=keep", 50);
    assert_eq!((texts, starts), (BTreeSet::from(["1".to_owned()]), BTreeSet::from(["spawned".to_owned()])));
}
