//! Every limit of a guest: what goes beyond it ends that call alone, and the next one finds an instance.
//! Must never need a fast machine: limits are small, and only a hang is too slow.

use crate::support::guests::wat_text;

use crate::support::{Answer, Config, H2, Raw, Server, eventually, get, guest, request, wat};

/// A server with a neighbour, and with `f` under limits that a test can reach.
fn serving(wasm: &[u8], manifest: &str) -> Server {
    let server = Server::start();
    server.deploy_with("f", wasm, manifest);
    neighbour(&server);
    server
}

fn neighbour(server: &Server) {
    server.tenant("neighbour");
    assert_eq!(server.upload_with("neighbour", "ok", &guest("ok"), "{}").status, 201);
}

/// What must be true after anything a guest does: its neighbour is answered, and so is its own next call.
#[track_caller]
fn ends(server: &Server, query: &str, status: u16, code: &str) {
    for _ in 0..3 {
        let answer = get(server.ingress, &format!("/default/f/{query}"));
        assert_eq!((answer.status, answer.code()), (status, code), "{}", answer.text());
        all_is_well(server);
    }
}

#[track_caller]
fn all_is_well(server: &Server) {
    assert_eq!(get(server.ingress, "/neighbour/ok/").text(), "ok");
}

#[track_caller]
fn is_refused(answer: &Answer, why: &str) {
    assert_eq!(answer.status, 422, "{}", answer.text());
    assert!(answer.text().contains(why), "{why} in {}", answer.text());
}

const CPU: &str = r#"{"limits": {"cpu_ms": 100}}"#;

#[test]
fn a_loop_ends_at_its_cpu_limit() {
    ends(&serving(&guest("spin"), CPU), "", 502, "cpu_limit");
}

#[test]
fn a_loop_in_a_0_3_guest_ends_at_its_cpu_limit() {
    ends(&serving(&guest("many_p3"), CPU), "?do=spin", 502, "cpu_limit");
}

#[test]
fn a_loop_of_host_calls_ends_at_its_cpu_limit() {
    ends(&serving(&guest("poll_loop"), CPU), "", 502, "cpu_limit");
    ends(&serving(&guest("pipes_p3"), CPU), "?do=forever", 502, "cpu_limit");
}

#[test]
fn a_guest_that_asks_for_the_time_for_ever_ends_at_its_cpu_limit() {
    ends(&serving(&guest("clock_loop"), CPU), "", 502, "cpu_limit");
}

#[test]
fn strings_that_the_host_reads_for_ever_end_at_the_guests_cpu_limit() {
    let server = serving(&guest("giant_strings"), CPU);
    let before = server.memory();
    ends(&server, "", 502, "cpu_limit");
    let grown = server.memory().saturating_sub(before);
    assert!(grown < 100 << 20, "{grown} bytes more");
}

#[test]
fn a_destructor_that_loops_ends_at_its_cpu_limit() {
    ends(&serving(&wat("drop_loop"), CPU), "", 502, "cpu_limit");
    ends(&serving(&wat("post_return_loop"), CPU), "", 502, "cpu_limit");
}

#[test]
fn a_loop_of_long_instructions_ends_at_its_cpu_limit() {
    for name in ["memory_fill", "memory_copy"] {
        ends(&serving(&wat(name), CPU), "", 502, "cpu_limit");
    }
    // Onto what it is read from.
    let tree = spawnpoint::cli::guests::source_tree();
    let fill = std::fs::read_to_string(tree.join("tests/guests/wat/memory_fill.wat")).expect("a guest");
    let copy = fill
        .replace("(memory.fill (i32.const 0) (i32.const 165)", "(memory.copy (i32.const 8) (i32.const 0)")
        .replace("(i32.const 16777216))", "(i32.const 16777208))");
    assert_ne!(fill, copy);
    ends(&serving(&wat::parse_str(copy).expect("a component"), CPU), "", 502, "cpu_limit");
}

#[test]
fn a_flood_of_lines_ends_at_its_cpu_limit_and_does_not_fill_the_log() {
    let server = serving(&guest("stdout_flood"), CPU);
    ends(&server, "", 502, "cpu_limit");
    assert!(server.log().len() < 1 << 20, "{} bytes of log", server.log().len());
}

#[test]
fn a_loop_in_start_up_is_refused_at_deploy_and_the_old_version_answers() {
    let server = serving(&guest("ok"), CPU);
    for name in ["f", "new"] {
        is_refused(&server.upload_with("default", name, &wat("spin_in_start"), CPU), "cpu_limit");
    }
    assert_eq!(server.call("f").text(), "ok");
    assert_eq!(server.call("new").code(), "no_route");
    is_refused(&server.upload("f", &wat("trap_in_start")), "guest_trap");
    all_is_well(&server);
}

#[test]
fn a_loop_in_start_up_ends_at_its_cpu_limit_when_it_is_called() {
    // Rust's constructors run before the first call and not at instantiation, so this one deploys.
    ends(&serving(&guest("spin_in_start"), CPU), "", 502, "cpu_limit");
    // Where no slot is free a version cannot be proven at deploy, so its first call has to.
    let server = Server::with(Config::default().toml("threads = 1\n[server]\ninstances = 4"));
    server.deploy("drip", &guest("drip"));
    let mut holders: Vec<_> = (0..3).map(|_| begin(&server, "drip")).collect();
    // The last place is kept for a tenant that has none.
    server.tenant("last");
    assert_eq!(server.upload_with("last", "drip", &guest("drip"), "{}").status, 201);
    let mut last = Raw::connect(server.ingress);
    last.send("GET /last/drip/ HTTP/1.1\r\nhost: a.test\r\n\r\n");
    let head = last.head().expect("a head");
    holders.push((last, head));
    assert!(holders.iter().all(|(_, head)| head.contains(" 200 ")));
    while_another_is_proven(&server, || {
        server.deploy_with("f", &wat("spin_in_start"), CPU);
        server.deploy("trap", &wat("trap_in_start"));
    });
    neighbour(&server);
    drop(holders);
    eventually("there is room", || get(server.ingress, "/neighbour/ok/").status == 200);
    ends(&server, "", 502, "cpu_limit");
    assert_eq!(server.call("trap").code(), "guest_trap");
    all_is_well(&server);
}

#[test]
fn a_version_is_proven_at_its_deploy_though_calls_have_every_instance() {
    let server = Server::with(Config::default().toml("threads = 1\n[server]\ninstances = 1"));
    server.deploy("drip", &guest("drip"));
    let (_holder, head) = begin(&server, "drip");
    assert!(head.contains(" 200 "), "{head}");
    is_refused(&server.upload_with("default", "f", &wat("spin_in_start"), CPU), "cpu_limit");
    is_refused(&server.upload("f", &wat("trap_in_start")), "guest_trap");
    server.deploy("f", &guest("ok"));
}

#[test]
fn the_last_instance_is_for_a_call_and_not_for_one_made_ahead() {
    let server = Server::with(Config::default().toml("threads = 1\n[server]\ninstances = 1"));
    server.deploy("drip", &guest("drip"));
    let holder = begin(&server, "drip");
    while_another_is_proven(&server, || drop(server.deploy_with("f", &wat("spin_in_start"), CPU)));
    neighbour(&server);
    drop(holder);
    eventually("there is room", || get(server.ingress, "/neighbour/ok/").status == 200);
    ends(&server, "", 502, "cpu_limit");
}

/// Does something while the place that is kept for that is taken by a version that is tried.
fn while_another_is_proven(server: &Server, something: impl FnOnce()) {
    const LONG: &str = r#"{"limits": {"cpu_ms": 4000, "wall_ms": 60000}}"#;
    server.tenant("another");
    std::thread::scope(|scope| {
        let before = server.cpu_ns_of("heavy-");
        let proven = scope.spawn(|| server.upload_with("another", "f", &wat("spin_in_start"), LONG));
        eventually("it is tried", || server.cpu_ns_of("heavy-") > before + 20_000_000);
        something();
        assert!(!proven.is_finished(), "too soon");
        is_refused(&proven.join().expect("no panic"), "cpu_limit");
    });
}

/// A request whose head has come, or its refusal.
fn begin(server: &Server, function: &str) -> (Raw, String) {
    let mut raw = Raw::connect(server.ingress);
    raw.send(format!("GET /default/{function}/ HTTP/1.1\r\nhost: a.test\r\n\r\n"));
    let head = raw.head().expect("a head");
    (raw, head)
}

#[test]
fn a_guest_that_burns_its_time_leaves_others_theirs() {
    let server = Server::with(Config::default().toml("threads = 1"));
    server.deploy_with("f", &guest("spin"), r#"{"limits": {"cpu_ms": 30000, "wall_ms": 60000}}"#);
    neighbour(&server);
    let spinning: Vec<_> = (0..3)
        .map(|_| {
            let mut raw = Raw::connect(server.ingress);
            raw.send("GET /default/f/ HTTP/1.1\r\nhost: a.test\r\n\r\n");
            raw
        })
        .collect();
    // The one thread is theirs for longer than anybody would wait for these.
    for _ in 0..50 {
        all_is_well(&server);
    }
    assert_eq!(server.failed("cpu_limit"), 0.0);
    drop(spinning);
    all_is_well(&server);
}

#[test]
fn a_guest_that_waits_ends_at_its_wall_limit() {
    let wall = r#"{"limits": {"cpu_ms": 50, "wall_ms": 200}}"#;
    ends(&serving(&guest("sleep"), wall), "", 504, "timeout");
    ends(&serving(&guest("many_p3"), wall), "?do=sleep", 504, "timeout");
}

#[test]
fn an_answer_that_never_ends_is_cut_at_its_wall_limit() {
    for (name, query) in [("drip", ""), ("many_p3", "?do=drip")] {
        let server = serving(&guest(name), r#"{"limits": {"cpu_ms": 50, "wall_ms": 500}}"#);
        let answer = get(server.ingress, &format!("/default/f/{query}"));
        assert_eq!(answer.status, 200);
        assert!(!answer.whole && !answer.body.is_empty());
        server.reaches("spawnpoint_requests_failed_total", "code=\"timeout\"", 1.0);
        all_is_well(&server);
    }
}

#[test]
fn memory_ends_at_its_limit() {
    let manifest = r#"{"limits": {"memory_bytes": 16777216, "cpu_ms": 5000}}"#;
    let server = serving(&guest("hog"), manifest);
    ends(&server, "", 502, "memory_limit");
    let text = get(server.ingress, "/default/f/?answer").text();
    let mib: u32 = text.trim_start_matches("refused after ").trim_end_matches(" MiB").parse().expect(&text);
    assert!((8..16).contains(&mib), "{text}");
    ends(&serving(&guest("many_p3"), manifest), "?do=hog", 502, "memory_limit");
}

#[test]
fn memory_wanted_at_once_beyond_the_limit_is_refused_at_deploy() {
    let server = serving(&guest("ok"), "{}");
    is_refused(&server.upload("f", &wat("memory_min")), "memory");
    let small = r#"{"limits": {"memory_bytes": 65536}}"#;
    is_refused(&server.upload_with("default", "f", &guest("ok"), small), "memory_limit");
    assert_eq!(server.call("f").text(), "ok");
}

#[test]
fn tables_end_at_their_limit() {
    ends(&serving(&wat("table_grow"), "{}"), "", 502, "memory_limit");
    let server = serving(&wat("many_tables"), r#"{"limits": {"cpu_ms": 10000}}"#);
    let before = server.memory();
    ends(&server, "", 502, "memory_limit");
    let grown = server.memory().saturating_sub(before);
    assert!(grown < 100 << 20, "{grown} bytes more");
    let server = serving(&guest("ok"), "{}");
    let more =
        wat_text("many_tables.wat").replace("(table $d 1 funcref)", "(table $d 1 funcref) (table 1 funcref)");
    is_refused(&server.upload("f", &wat::parse_str(more).expect("a component")), "table");
    is_refused(&server.upload("f", &wat("table_min")), "table");
    assert_eq!(server.call("f").text(), "ok");
}

#[test]
fn handles_random_bytes_and_the_stack_end_in_a_trap() {
    for name in ["handles", "random_flood", "deep_recursion"] {
        let server = serving(&guest(name), r#"{"limits": {"cpu_ms": 10000}}"#);
        let before = server.memory();
        ends(&server, "", 502, "guest_trap");
        let grown = server.memory().saturating_sub(before);
        assert!(grown < 100 << 20, "{name}: {grown} bytes more");
    }
}

#[test]
fn random_bytes_within_the_limit_are_given() {
    let server = serving(&guest("random_flood"), "{}");
    assert_eq!(get(server.ingress, "/default/f/?n=65536").text(), "65536");
    assert_eq!(get(server.ingress, "/default/f/?n=65537").code(), "guest_trap");
}

#[test]
fn fields_of_an_answer_end_at_their_limit() {
    let server = serving(&guest("fields_flood"), r#"{"limits": {"cpu_ms": 10000}}"#);
    for _ in 0..3 {
        let answer = get(server.ingress, "/default/f/");
        let coped = answer.status == 200 && answer.text().starts_with("refused after ");
        assert!(coped || answer.code() == "guest_trap", "{} {}", answer.status, answer.text());
        assert!(answer.headers.len() < 20, "{} fields", answer.headers.len());
        all_is_well(&server);
    }
}

#[test]
fn trailers_of_an_answer_end_at_their_limit() {
    let server = serving(&guest("trailer_flood"), r#"{"limits": {"cpu_ms": 10000}}"#);
    let (before, h2) = (server.memory(), H2::connect(server.ingress));
    let ask = |query: &str| {
        let asked = format!("GET /default/f/{query} HTTP/1.1\r\nhost: a.test\r\nte: trailers\r\n\r\n");
        let one = Raw::connect(server.ingress).send(asked).answer().expect("an answer");
        let other = h2.get(&format!("http://a.test/default/f/{query}")).expect("an answer");
        all_is_well(&server);
        [one, other]
    };
    for query in ["", "?bytes=0", "?bytes=100000", "?bytes=10000000"] {
        for answer in ask(query) {
            assert_eq!((answer.status, answer.code()), (502, "guest_trap"), "{query}: {}", answer.text());
        }
    }
    for answer in ask("?n=40&bytes=300") {
        assert_eq!((answer.status, answer.text().as_str()), (200, "40 trailers"));
        assert_eq!((answer.whole, answer.trailers.len()), (true, 40));
    }
    let grown = server.memory().saturating_sub(before);
    assert!(grown < 100 << 20, "{grown} bytes more");
}

#[test]
fn a_body_is_bounded_in_what_a_guest_reads_and_unread_bytes_cost_nothing() {
    let server = serving(&guest("read_slowly"), r#"{"limits": {"request_body_bytes": 4000000}}"#);
    server.deploy("never", &guest("never_read"));
    let before = server.memory();
    let body = vec![b'x'; 3_900_000];
    assert_eq!(request(server.ingress, "POST", "/default/f/?n=100000&ms=0", &[], &body).text(), "3900000");
    let answer = request(server.ingress, "POST", "/default/never/", &[], &body);
    assert_eq!(answer.text(), "not interested");
    // Twenty bodies that nobody reads stay in the sockets.
    let holders: Vec<_> = (0..20)
        .map(|_| {
            let mut raw = Raw::connect(server.ingress);
            let head =
                "POST /default/f/?n=1&ms=10000 HTTP/1.1\r\nhost: a.test\r\ncontent-length: 4000000\r\n\r\n";
            raw.stream().set_write_timeout(Some(std::time::Duration::from_millis(50))).unwrap();
            raw.send(head).send(&body);
            raw
        })
        .collect();
    let grown = server.memory().saturating_sub(before);
    assert!(grown < 60 << 20, "{grown} bytes more");
    drop(holders);
    all_is_well(&server);
}

#[test]
fn requests_at_once_end_at_their_limit_for_one_function_only() {
    let server = serving(&guest("drip"), r#"{"limits": {"concurrent_requests": 3}}"#);
    let held: Vec<_> = (0..3).map(|_| begin(&server, "f")).collect();
    assert!(held.iter().all(|(_, head)| head.contains(" 200 ")));
    for _ in 0..5 {
        assert!(begin(&server, "f").1.contains("throttled"));
        all_is_well(&server);
    }
    drop(held);
    eventually("places are free again", || begin(&server, "f").1.contains(" 200 "));
    server.deploy_with("f", &guest("drip"), r#"{"limits": {"concurrent_requests": 4}}"#);
    eventually("a new version has its own limit", || begin(&server, "f").1.contains(" 200 "));
}

#[test]
fn a_manifest_beyond_the_ceiling_is_refused_by_name() {
    let server = Server::start();
    for field in [
        "cpu_ms",
        "wall_ms",
        "memory_bytes",
        "table_elements",
        "request_body_bytes",
        "response_body_bytes",
        "concurrent_requests",
    ] {
        let highest = if field == "concurrent_requests" { u64::from(u32::MAX) } else { u64::MAX >> 1 };
        let manifest = format!("{{\"limits\": {{\"{field}\": {highest}}}}}");
        let answer = server.upload_with("default", "f", &guest("ok"), &manifest);
        assert!(matches!(answer.status, 400 | 422), "{field}: {}", answer.status);
        assert!(answer.text().contains(field), "{field}: {}", answer.text());
    }
    assert_eq!(server.call("f").code(), "no_route");
}
