//! Who is let in: rates, requests at once, instances and memory, for a function and for all of a tenant's.
//! Must never let one tenant's greed be another's failure.

use std::time::Duration;

use crate::support::{Answer, Config, Raw, Server, eventually, get, guest};

/// A server with a tenant that behaves.
fn serving(config: Config) -> Server {
    let server = Server::with(config);
    server.tenant("good");
    assert_eq!(server.upload_with("good", "ok", &guest("ok"), "{}").status, 201);
    server
}

#[track_caller]
fn is(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.code()), (status, code), "{}", answer.text());
    assert_eq!(answer.header("retry-after").is_empty(), !matches!(status, 429 | 503));
}

/// A request that is not waited for.
fn begin(server: &Server, target: &str) -> Raw {
    let mut raw = Raw::connect(server.ingress);
    raw.send(format!("GET {target} HTTP/1.1\r\nhost: a.test\r\n\r\n"));
    raw
}

#[test]
fn a_function_is_asked_as_often_as_its_manifest_says() {
    let server = serving(Config::default());
    server.deploy_with("f", &guest("ok"), r#"{"limits": {"requests_per_second": 1, "burst": 3}}"#);
    for _ in 0..3 {
        assert_eq!(server.call("f").status, 200);
    }
    let refused = server.call("f");
    is(&refused, 429, "rate_limited");
    assert_eq!(get(server.ingress, "/good/ok/").status, 200);
    // What it was told is true.
    let seconds = refused.header("retry-after").parse().expect("seconds");
    assert_eq!(seconds, 1);
    std::thread::sleep(Duration::from_secs(seconds));
    assert_eq!(server.call("f").status, 200);
    server.deploy_with("f", &guest("ok"), "{}");
    assert!((0..20).all(|_| server.call("f").status == 200), "a new version has its own rate");
}

#[test]
fn an_operator_bounds_the_rate_that_a_manifest_asks_for() {
    let server = serving(Config::default().toml("[ceiling]\nrequests_per_second = 5\nburst = 2"));
    for manifest in [r#"{"limits": {"requests_per_second": 6}}"#, r#"{"limits": {"burst": 3}}"#] {
        let answer = server.upload_with("default", "f", &guest("ok"), manifest);
        assert_eq!((answer.status, answer.code()), (400, "invalid_limit"), "{}", answer.text());
    }
    // Who asks for none gets the most there is.
    server.deploy("f", &guest("ok"));
    let answers: Vec<_> = (0..10).map(|_| server.call("f").status).collect();
    assert_eq!(answers[..2], [200, 200]);
    assert!(answers.contains(&429), "{answers:?}");
}

#[test]
fn all_functions_of_a_tenant_share_its_rate_and_others_have_their_own() {
    let config = "[tenant]\nrequests_per_second = 1\nburst = 2\n[tenants.good]\nweight = 2";
    let server = serving(Config::default().toml(config));
    server.deploy("f", &guest("ok"));
    server.deploy("g", &guest("ok"));
    assert_eq!((server.call("f").status, server.call("g").status), (200, 200));
    is(&server.call("f"), 429, "rate_limited");
    assert!((0..20).all(|_| get(server.ingress, "/good/ok/").status == 200));
    eventually("it recovers", || server.call("g").status == 200);
}

#[test]
fn all_functions_of_a_tenant_share_its_requests_at_once() {
    let server = serving(Config::default().toml("[tenant]\nconcurrent_requests = 2"));
    server.deploy("f", &guest("drip"));
    server.deploy("g", &guest("drip"));
    server.deploy("ok", &guest("ok"));
    let mut held = vec![begin(&server, "/default/f/"), begin(&server, "/default/g/")];
    assert!(held.iter_mut().all(|raw| raw.head().expect("a head").contains(" 200 ")));
    is(&server.call("ok"), 429, "throttled");
    assert_eq!(get(server.ingress, "/good/ok/").status, 200);
    held.pop();
    eventually("there is room", || server.call("ok").status == 200);
}

#[test]
fn one_too_many_waits_a_moment_for_its_turn() {
    let server = serving(Config::default());
    server.deploy_with("f", &guest("sleep"), r#"{"limits": {"concurrent_requests": 1}}"#);
    // Each takes less than anybody waits, so three at once are all answered.
    let mut raws: Vec<_> = (0..3).map(|_| begin(&server, "/default/f/?ms=10")).collect();
    let answers: Vec<_> = raws.iter_mut().map(|raw| raw.answer().expect("an answer")).collect();
    let well = answers.iter().filter(|answer| answer.status == 200);
    // On a machine that is busy with something else one of them may have waited too long.
    assert!(well.count() >= 2, "{answers:?}");
}

/// Holds `count` requests to this target that never end by themselves.
fn hold(server: &Server, target: &str, count: usize) -> Vec<Raw> {
    (0..count).map(|_| begin(server, target)).collect()
}

const HOG: &str = r#"{"limits": {"concurrent_requests": 1000, "wall_ms": 290000}}"#;

#[test]
fn a_tenant_that_takes_all_it_can_keeps_no_other_from_being_answered() {
    let server = serving(Config::default().toml("threads = 1\n[server]\ninstances = 10"));
    server.deploy_with("f", &guest("sleep"), HOG);
    server.deploy("ok", &guest("ok"));
    let held = hold(&server, "/default/f/", 200);
    // Most of them find no place, after a moment of waiting.
    server.reaches("spawnpoint_requests_rejected_total", "code=\"overloaded\"", 180.0);
    for n in 0..50 {
        let answer = get(server.ingress, "/good/ok/");
        assert_eq!(answer.text(), "ok", "at {n}: {} {}", answer.status, answer.code());
    }
    // Its own requests are those that are refused.
    is(&server.call("ok"), 503, "overloaded");
    let refused = server.call("ok");
    assert!(!refused.header("server-timing").is_empty());
    drop(held);
    eventually("there is room again", || server.call("ok").status == 200);
}

#[test]
fn several_hogs_leave_a_place_for_who_comes_next() {
    let server = serving(Config::default().toml("threads = 1\n[server]\ninstances = 40"));
    let mut held = Vec::new();
    for tenant in ["hog1", "hog2", "hog3"] {
        server.tenant(tenant);
        assert_eq!(server.upload_with(tenant, "f", &guest("sleep"), HOG).status, 201);
    }
    for _ in 0..60 {
        for tenant in ["hog1", "hog2", "hog3"] {
            held.push(begin(&server, &format!("/{tenant}/f/")));
        }
    }
    server.reaches("spawnpoint_requests_rejected_total", "code=\"overloaded\"", 140.0);
    for n in 0..20 {
        assert_eq!(get(server.ingress, "/good/ok/").text(), "ok", "at {n}");
    }
}

#[test]
fn who_finds_no_instance_waits_for_one_that_is_about_to_be_free() {
    let server = serving(Config::default().toml("threads = 1\n[server]\ninstances = 2"));
    server.deploy("f", &guest("sleep"));
    assert_eq!(get(server.ingress, "/default/f/?ms=1").status, 200);
    let mut raws: Vec<_> = (0..4).map(|_| begin(&server, "/default/f/?ms=10")).collect();
    let answers: Vec<_> = raws.iter_mut().map(|raw| raw.answer().expect("an answer")).collect();
    let well: Vec<_> = answers.iter().filter(|answer| answer.status == 200).collect();
    assert!(well.len() >= 2, "{answers:?}");
    let queued = |answer: &&&Answer| {
        let timing = answer.header("server-timing");
        let (_, rest) = timing.split_once("queue;dur=").expect("a phase");
        rest.split(',').next().and_then(|ms| ms.parse::<f64>().ok()).expect("a number") > 3.0
    };
    assert!(well.iter().any(|answer| queued(&answer)), "{answers:?}");
}

#[test]
fn a_waiter_whose_client_leaves_frees_its_place() {
    let server = serving(Config::default().toml("threads = 1\n[server]\ninstances = 2"));
    server.deploy_with("f", &guest("drip"), HOG);
    let mut holder = begin(&server, "/default/f/");
    assert!(holder.head().expect("a head").contains(" 200 "));
    for _ in 0..5 {
        // More than may wait, each for less than it would have to.
        drop(hold(&server, "/default/f/", 100));
    }
    drop(holder);
    eventually("there is room", || {
        begin(&server, "/default/f/").head().is_some_and(|head| head.contains(" 200 "))
    });
    assert_eq!(get(server.ingress, "/good/ok/").status, 200);
}

#[test]
fn memory_is_given_back_to_the_byte() {
    let server = serving(Config::default().toml("threads = 2"));
    server.deploy("p3", &guest("many_p3"));
    server.deploy_with("hog", &guest("hog"), r#"{"limits": {"memory_bytes": 20000000}}"#);
    server.deploy_with("again", &guest("counter"), r#"{"reuse": {"max_requests": 3}}"#);
    for n in 0..30 {
        let _ = get(server.ingress, "/default/p3/?do=ok");
        let _ = get(server.ingress, "/default/p3/?do=trap");
        let _ = get(server.ingress, "/default/again/");
        if n % 10 == 0 {
            assert_eq!(server.call("hog").code(), "memory_limit");
            drop(begin(&server, "/default/p3/?do=sleep"));
        }
    }
    assert!(server.metric("spawnpoint_memory_budget_bytes", "") > 0.0);
    assert!(server.metric("spawnpoint_memory_bytes", "") > 0.0, "ready instances count");
    eventually("all of it is given back", || {
        for function in ["p3", "hog", "again"] {
            let target = format!("/v1/tenants/default/functions/{function}/cold");
            let json = [("content-type", "application/json")];
            server.admin("POST", &target, &json, br#"{"drop": "instances"}"#);
        }
        server.metric("spawnpoint_memory_bytes", "") == 0.0
    });
    assert_eq!(server.metric("spawnpoint_tenant_memory_bytes", ""), 0.0);
}

/// Takes so much and keeps it: a guest that has grown sleeps until its time is up.
fn takes(server: &Server, mib: u32) -> Raw {
    begin(server, &format!("/default/hold/?mib={mib}"))
}

#[test]
fn a_tenant_never_gets_all_of_the_memory() {
    let server = serving(Config::default().toml("threads = 1\n[server]\nmemory_bytes = 100000000"));
    server.deploy_with("hold", &guest("hold"), HOG);
    // What is compiled a second time is tried out once more, in the memory of its tenant.
    server.optimised();
    let mut held = Vec::new();
    eventually("it holds all it may", || {
        let mut raw = takes(&server, 8);
        let head = raw.head().unwrap_or_default();
        held.push(raw);
        head.contains(" 503 ")
    });
    let used = server.metric("spawnpoint_memory_bytes", "");
    assert!((50e6..95e6).contains(&used), "{used}");
    for n in 0..20 {
        assert_eq!(get(server.ingress, "/good/ok/").text(), "ok", "at {n}");
    }
    is(&get(server.ingress, "/default/hold/?mib=8"), 503, "memory_short");
    drop(held);
    eventually("it recovers", || takes(&server, 8).head().is_some_and(|head| head.contains(" 200 ")));
}

#[test]
fn calls_that_grow_together_leave_memory_for_other_tenants() {
    let server = serving(Config::default().toml("threads = 1\n[server]\nmemory_bytes = 100000000"));
    server.deploy_with("hold", &guest("hold"), HOG);
    // What is compiled a second time is tried out once more, in the memory of its tenant.
    server.optimised();
    // Each fits, and any two of them; they take it piece by piece, so that all may find too little.
    let mut held: Vec<_> = (0..6).map(|_| takes(&server, 24)).collect();
    let heads: Vec<_> = held.iter_mut().map(|raw| raw.head().unwrap_or_default()).collect();
    let many = |word: &str| heads.iter().filter(|head| head.contains(word)).count();
    let (grew, refused) = (many(" 200 "), many(" 503 "));
    assert!(refused > 0 && grew + refused == 6, "{heads:?}");
    assert!(server.metric("spawnpoint_tenant_memory_bytes", "tenant=\"default\"") <= 80e6);
    for n in 0..20 {
        assert_eq!(get(server.ingress, "/good/ok/").text(), "ok", "at {n}");
    }
}

#[test]
fn growth_beyond_the_budget_is_refused_and_ready_instances_go_first() {
    let server = serving(Config::default().toml("threads = 1\n[server]\nmemory_bytes = 100000000"));
    server.deploy_with("hold", &guest("hold"), HOG);
    // What is compiled a second time is tried out once more, in the memory of its tenant.
    server.optimised();
    for _ in 0..5 {
        assert_eq!(get(server.ingress, "/good/ok/").text(), "ok");
    }
    let ready = || server.metric("spawnpoint_tenant_memory_bytes", "tenant=\"good\"");
    eventually("something is ready", || ready() > 0.0);
    // Let in while there is plenty, and then grown to where there is little.
    let mut first = takes(&server, 74);
    assert!(first.head().expect("a head").contains(" 200 "));
    eventually("nothing is kept ready", || ready() == 0.0);
    assert_eq!(get(server.ingress, "/good/ok/").text(), "ok");
    server.tenant("other");
    assert_eq!(server.upload_with("other", "hold", &guest("hold"), HOG).status, 201);
    let mut second = begin(&server, "/other/hold/?mib=8");
    assert!(second.head().expect("a head").contains(" 200 "));
    assert_eq!(get(server.ingress, "/good/ok/").text(), "ok");
    drop((first, second));
    let mut refused = None;
    eventually("what they held is free", || {
        let answer = get(server.ingress, "/default/hold/?mib=120");
        refused.insert(answer).code() != "overloaded"
    });
    is(&refused.expect("an answer"), 503, "memory_short");
    assert_eq!(get(server.ingress, "/good/ok/").status, 200);
}

#[test]
fn operators_are_answered_however_much_tenants_ask() {
    let server = serving(Config::default().ulimit("-n 256").toml("threads = 1"));
    server.deploy_with("f", &guest("spin"), r#"{"limits": {"cpu_ms": 60000, "wall_ms": 290000}}"#);
    let spinning = hold(&server, "/default/f/", 4);
    // More connections than there are descriptors for.
    let idle: Vec<_> = (0..300).map(|_| Raw::connect(server.ingress)).collect();
    server.reaches("spawnpoint_connections_refused_total", "", 1.0);
    for _ in 0..20 {
        assert_eq!(get(server.admin, "/livez").status, 200);
    }
    server.deploy("more", &guest("ok"));
    drop((idle, spinning));
    eventually("tenants are answered again", || {
        let mut raw = begin(&server, "/default/more/");
        raw.answer().is_some_and(|answer| answer.status == 200)
    });
}

#[test]
fn an_acceptor_without_a_descriptor_left_goes_on_when_there_is_one() {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    let server = serving(Config::default());
    assert_eq!(get(server.ingress, "/good/ok/").status, 200);
    let pid = Pid::from_raw(server.pid().cast_signed());
    let allow = |most: u64| {
        let limit = Rlimit { current: Some(most), maximum: None };
        prlimit(pid, Resource::Nofile, limit)
    };
    let Ok(before) = allow(server.descriptors() as u64 - 1) else { return };
    let mut waiting: Vec<_> = (0..5).map(|_| begin(&server, "/good/ok/")).collect();
    std::thread::sleep(Duration::from_millis(300));
    let lines = server.log().lines().filter(|line| line.contains("cannot accept")).count();
    assert!((1..50).contains(&lines), "{lines} lines");
    prlimit(pid, Resource::Nofile, before).expect("the limit as it was");
    for raw in &mut waiting {
        assert_eq!(raw.answer().expect("an answer").text(), "ok");
    }
    assert_eq!(get(server.admin, "/livez").status, 200);
}
