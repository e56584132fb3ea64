//! A version that only fails is left alone, tried now and then, and heals by itself; its neighbours notice nothing.
//! Must never need a fast machine: what must be quick is compared with a bound a thousand times as long.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::support::cli::Cli;
use crate::support::{Answer, Config, Raw, Server, eventually, get, guest};

/// Opens for a quarter of a second at first and for two at most.
fn quick() -> Config {
    Config::default().toml("[breaker]\nbackoff_ms = 250\nbackoff_max_ms = 2000")
}

fn serving(config: Config, manifest: &str) -> Server {
    let server = Server::with(config);
    // Answers, and traps when it is told to.
    server.deploy_with("f", &guest("counter"), manifest);
    server.tenant("neighbour");
    assert_eq!(server.upload_with("neighbour", "ok", &guest("ok"), "{}").status, 201);
    server
}

fn trap(server: &Server) -> Answer {
    get(server.ingress, "/default/f/?trap")
}

/// Fails as often as it takes.
#[track_caller]
fn open(server: &Server) {
    for n in 0..10 {
        assert_eq!(trap(server).code(), "guest_trap", "at {n}");
    }
    is_open(&server.call("f"));
}

#[track_caller]
fn is_open(answer: &Answer) {
    assert_eq!((answer.status, answer.code()), (503, "breaker_open"), "{}", answer.text());
    assert!(answer.header("retry-after").parse::<u64>().expect("seconds") >= 1);
    assert_eq!(answer.header("x-spawnpoint-start"), "", "no guest ran");
}

fn state(server: &Server) -> String {
    let shown = server.admin("GET", "/v1/tenants/default/functions/f", &[], &[]).json();
    shown["breaker"]["state"].as_str().expect("a state").to_owned()
}

#[test]
fn ten_failures_in_a_row_open_it_and_it_heals_by_itself() {
    let server = serving(quick(), "{}");
    assert_eq!(state(&server), "closed");
    for n in 0..30 {
        // One that goes well breaks the row.
        let answer = if n % 10 == 9 { server.call("f") } else { trap(&server) };
        assert_ne!(answer.code(), "breaker_open", "at {n}");
    }
    open(&server);
    assert_eq!(get(server.ingress, "/neighbour/ok/").text(), "ok");
    // The last of them is the one that opened it, and no other.
    let newest = Cli::at(&server, &["failures", "f", "--json"]).ok().json();
    let of = |key: &str| {
        newest["failures"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|each| each[key].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!((&of("breaker")[0], &of("breaker_ms")[0]), (&"opened".into(), &250.into()), "{newest}");
    assert!(of("breaker")[1..].iter().all(serde_json::Value::is_null), "{newest}");
    let id = of("request_id")[0].as_str().expect("an id").to_owned();
    let said = Cli::at(&server, &["explain", &id]).ok();
    assert!(
        said.out.contains("one failure too many: the version's breaker opened for 250 ms"),
        "{}",
        said.out
    );
    // Tried again with a request that goes well.
    let mut healed = String::new();
    eventually("it heals", || {
        let answer = server.call("f");
        answer.header("x-request-id").clone_into(&mut healed);
        answer.status == 200
    });
    assert_eq!(state(&server), "closed");
    // Recorded, whatever the sample of good calls is.
    let said = Cli::at(&server, &["explain", &healed]).ok();
    assert!(said.out.contains("the breaker's probe and went well"), "{}", said.out);
    eventually("the log says so", || server.log().contains("left alone no more"));
    assert_eq!(server.metric("spawnpoint_breaker_openings_total", "function=\"f\""), 1.0);
    assert_eq!(server.metric("spawnpoint_breaker_openings_total", "tenant=\"neighbour\""), 0.0);
    assert!(server.metric("spawnpoint_requests_rejected_total", "code=\"breaker_open\"") >= 1.0);
}

#[test]
fn half_of_fifty_requests_open_it_too() {
    let server = serving(Config::default(), "{}");
    let mut raw = Raw::connect(server.ingress);
    let turns = (0..200).find(|n| {
        let query = if n % 2 == 0 { "?trap" } else { "" };
        raw.send(format!("GET /default/f/{query} HTTP/1.1\r\nhost: a.test\r\n\r\n"));
        raw.answer().expect("an answer").code() == "breaker_open"
    });
    assert!(turns.is_some_and(|turns| turns >= 49), "{turns:?}");
}

#[test]
fn a_probe_that_fails_keeps_it_open_for_longer() {
    let server = serving(quick(), "{}");
    open(&server);
    let before = server.failed("guest_trap");
    // Only probes reach the guest, and ever fewer of them: 250 + 500 + 1000 ms.
    let began = Instant::now();
    // Once its time has passed, it is no longer open, though nobody has asked yet.
    eventually("it is half-open", || state(&server) == "half_open");
    let list = Cli::at(&server, &["list"]).ok();
    assert!(list.out.contains("breaker half-open"), "{}", list.out);
    while server.failed("guest_trap") < before + 3.0 {
        trap(&server);
        assert!(began.elapsed() < crate::support::PATIENCE);
    }
    assert!(began.elapsed().as_millis() >= 1_500, "{:?}", began.elapsed());
    assert_ne!(state(&server), "closed");
    eventually("the log says so", || {
        server.log().contains("failed when it was tried again: left alone for longer")
    });
    eventually("the log says for how long", || server.log().contains("for_ms=500"));
    // Rejections have no record, but are counted with the time of the last.
    let said = Cli::at(&server, &["failures", "f", "--code", "breaker_open"]).ok();
    assert!(said.out.is_empty(), "{said:?}");
    assert!(said.err.contains("counted and not recorded") && said.err.contains("breaker_open "), "{said:?}");
    let none = Cli::at(&server, &["failures", "f", "--code", "throttled"]).ok();
    assert!(none.err.contains("rejections are counted, not recorded: throttled 0"), "{none:?}");
    let list =
        server.admin("GET", &format!("{}/failures?code=breaker_open", Server::path("f")), &[], &[]).json();
    let of = &list["rejected"]["breaker_open"];
    assert!(
        of["count"].as_u64().is_some_and(|count| count > 0) && of["last_ms"].as_u64().is_some(),
        "{list}"
    );
}

#[test]
fn one_request_at_a_time_is_the_probe() {
    let server = serving(quick(), "{}");
    server.deploy_with("f", &guest("many_p3"), r#"{"limits": {"wall_ms": 20000}}"#);
    let trap = || get(server.ingress, "/default/f/?do=trap");
    while trap().code() != "breaker_open" {}
    // A probe that takes its time; its client leaves, which says nothing about the function and frees the probe.
    let mut probe = None;
    eventually("one sleeps", || {
        let mut raw = Raw::connect(server.ingress);
        raw.send("GET /default/f/?do=sleep HTTP/1.1\r\nhost: a.test\r\n\r\n");
        probe = Some(raw);
        state(&server) == "probing"
    });
    for _ in 0..5 {
        is_open(&get(server.ingress, "/default/f/?do=ok"));
    }
    drop(probe);
    eventually("the next one is the probe", || get(server.ingress, "/default/f/?do=ok").status == 200);
    assert_eq!(state(&server), "closed");
}

#[test]
fn what_is_the_clients_fault_does_not_open_it() {
    let server = serving(quick(), r#"{"limits": {"request_body_bytes": 10}}"#);
    server.deploy_with("f", &guest("sleep"), r#"{"limits": {"request_body_bytes": 10}}"#);
    for n in 0..15 {
        let mut raw = Raw::connect(server.ingress);
        raw.send("GET /default/f/?ms=60000 HTTP/1.1\r\nhost: a.test\r\n\r\n");
        if n % 5 == 0 {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
    server.reaches("spawnpoint_requests_failed_total", "code=\"client_gone\"", 3.0);
    assert_eq!(get(server.ingress, "/default/f/?ms=1").status, 200);
    assert_eq!(server.metric("spawnpoint_breaker_openings_total", ""), 0.0);
}

#[test]
fn a_body_that_breaks_off_is_its_clients_fault() {
    let server = serving(quick(), "{}");
    server.deploy_with("f", &guest("echo"), "{}");
    let post = |rest: &str| {
        let mut raw = Raw::connect(server.ingress);
        raw.send(format!("POST /default/f/ HTTP/1.1\r\nhost: a.test\r\n{rest}"));
        raw
    };
    for _ in 0..12 {
        let answer = post("transfer-encoding: chunked\r\n\r\nzz\r\n").answer();
        assert!(answer.is_none_or(|answer| (answer.status, answer.code()) == (400, "bad_request")));
        drop(post("content-length: 50000\r\n\r\nabc"));
    }
    server.reaches("spawnpoint_requests_failed_total", "code=\"bad_request\"", 12.0);
    let honest = post("content-length: 3\r\nconnection: close\r\n\r\nabc").answer().expect("an answer");
    assert_eq!((honest.status, honest.text()), (200, "abc".to_owned()));
    assert_eq!(server.metric("spawnpoint_breaker_openings_total", ""), 0.0);
    assert_eq!(server.failed("bad_response") + server.failed("guest_trap"), 0.0);
}

#[test]
fn a_function_that_only_traps_costs_its_neighbours_nothing() {
    let server = serving(Config::default().toml("threads = 1"), "{}");
    server.deploy("f", &guest("spin"));
    server.deploy_with("f", &guest("unreachable"), "{}");
    for _ in 0..10 {
        assert_eq!(server.call("f").code(), "guest_trap");
    }
    let mut raw = Raw::connect(server.ingress);
    let (mut slowest, mut all) = (0.0_f64, 0);
    for n in 0..500 {
        raw.send("GET /default/f/ HTTP/1.1\r\nhost: a.test\r\n\r\n");
        let answer = raw.answer().expect("an answer");
        if answer.code() == "breaker_open" {
            // What the server itself says it took, in milliseconds.
            let timing = answer.header("server-timing").trim_start_matches("route;dur=").to_owned();
            slowest = slowest.max(timing.split(',').next().unwrap().parse().expect("a number"));
            all += 1;
        }
        if n % 10 == 0 {
            assert_eq!(get(server.ingress, "/neighbour/ok/").text(), "ok");
        }
    }
    assert!(all > 400, "{all}");
    assert!(slowest < 100.0, "{slowest} ms");
    assert_eq!(server.metric("spawnpoint_requests_failed_total", "tenant=\"neighbour\""), 0.0);
}

#[test]
fn a_manifest_can_do_without_and_so_can_an_operator() {
    let servers = [
        serving(quick(), r#"{"breaker": {"enabled": false}}"#),
        serving(Config::default().toml("[breaker]\nenabled = false"), "{}"),
    ];
    for server in servers {
        for n in 0..40 {
            assert_eq!(trap(&server).code(), "guest_trap", "at {n}");
        }
    }
}

#[test]
fn a_new_version_starts_closed_and_the_list_says_how_each_stands() {
    // Open for longer than whoever looks takes.
    let server =
        serving(Config::default().toml("[breaker]\nbackoff_ms = 600000\nbackoff_max_ms = 600000"), "{}");
    open(&server);
    let list = Cli::at(&server, &["list"]).ok();
    assert!(list.out.contains("breaker open for "), "{}", list.out);
    let versions = Cli::at(&server, &["versions", "f"]).ok();
    assert!(versions.out.contains("STATE") && versions.out.contains("breaker open for "), "{}", versions.out);
    let shown = server.admin("GET", "/v1/tenants/default/functions/f", &[], &[]).json();
    assert_eq!(shown["breaker"]["state"], "open");
    assert!(shown["breaker"]["until_ms"].as_u64().is_some());
    let versions = server.admin("GET", "/v1/tenants/default/functions/f/versions", &[], &[]).json();
    assert_eq!(versions["versions"][0]["breaker"]["state"], "open");
    assert_eq!(server.metric("spawnpoint_breakers_open", ""), 1.0);
    server.deploy_with("f", &guest("ok"), "{}");
    assert_eq!(server.call("f").text(), "ok");
    assert_eq!(state(&server), "closed");
    let list = Cli::at(&server, &["list"]).ok();
    assert!(!list.out.contains("breaker open"), "{}", list.out);
}

#[test]
fn a_client_that_is_slow_opens_no_breaker() {
    let server = Server::start();
    server.deploy_with("f", &guest("echo"), r#"{"limits": {"cpu_ms": 200, "wall_ms": 300}}"#);
    // Bodies that never come.
    let mut writers: Vec<_> = (0..15).map(|_| Raw::connect(server.ingress)).collect();
    for raw in &mut writers {
        raw.send("POST /default/f/ HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nx");
    }
    eventually("all have run out of time", || server.failed("timeout") >= 15.0);
    assert_eq!(state(&server), "closed");
    assert_eq!(server.call("f").status, 200);
}

#[test]
fn a_client_that_reads_slowly_opens_no_breaker() {
    let server = Server::start();
    // Long enough to fill what lies between guest and client: from then on the guest waits.
    server.deploy_with("f", &guest("big_response"), r#"{"limits": {"cpu_ms": 2000, "wall_ms": 5000}}"#);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| {
                let mut raw = Raw::connect(server.ingress);
                raw.send("GET /default/f/?n=60000000 HTTP/1.1\r\nhost: a\r\n\r\n");
                while !over.load(Relaxed) && !raw.bytes(65_536).is_empty() {
                    std::thread::sleep(Duration::from_millis(50));
                }
            });
        }
        eventually("all have run out of time", || server.failed("timeout") >= 12.0);
        over.store(true, Relaxed);
    });
    assert_eq!(state(&server), "closed");
    assert_eq!(get(server.ingress, "/default/f/?n=10").status, 200);
}
