//! Heavy calls go on in a lane of their own, and are calls like any other there: they answer, stream, end and are ended.
//! Must never need a fast machine: what is asked is who is answered while whom is not.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::support::h2::exchange;
use crate::support::{Config, H2, Raw, Server, eventually, get, guest, wat};

const LONG: &str = r#"{"limits": {"cpu_ms": 20000, "wall_ms": 60000}}"#;

/// A server with one thread for requests, on which nobody gets by without the heavy lane.
fn one_thread() -> Server {
    let server = Server::with(Config::default().flag("--threads", "1"));
    server.deploy("ok", &guest("ok"));
    server.deploy_with("burn", &guest("burn"), LONG);
    server.deploy_with("spin", &guest("spin"), LONG);
    server
}

fn asks(server: &Server, target: &str) -> Raw {
    let mut raw = Raw::connect(server.ingress);
    raw.send(format!("GET /default/{target} HTTP/1.1\r\nhost: a\r\n\r\n"));
    raw
}

fn moved(server: &Server, when: &str) -> f64 {
    server.metric("spawnpoint_heavy_calls_total", &format!("when=\"{when}\""))
}

#[test]
fn short_calls_are_answered_while_hogs_compute_on_the_same_thread() {
    let server = one_thread();
    let hogs: Vec<Raw> = (0..16).map(|_| asks(&server, "spin/")).collect();
    eventually("the hogs are moved", || moved(&server, "later") + moved(&server, "start") >= 16.0);
    for _ in 0..50 {
        assert_eq!(get(server.ingress, "/default/ok/").text(), "ok");
    }
    // None of them has ended meanwhile: each had far more time left than that took.
    assert_eq!(server.failed("cpu_limit"), 0.0);
    drop(hogs);
}

#[test]
fn who_waits_for_a_turn_until_its_time_is_up_is_not_to_blame() {
    let server = one_thread();
    server.deploy_with("busy", &guest("spin"), r#"{"limits": {"cpu_ms": 1500, "wall_ms": 2000}}"#);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut all: Vec<_> = (0..8 * cores).map(|_| asks(&server, "busy/")).collect();
    for raw in &mut all {
        let answer = raw.answer().expect("an answer");
        let told = (answer.status, answer.code(), answer.header("retry-after"));
        assert_eq!(told, (503, "overloaded", "1"));
        let path = format!("/v1/invocations/{}", answer.header("x-request-id"));
        let record = server.admin("GET", &path, &[], b"").json();
        let lane = record["phases"]["lane"].as_f64().expect("a number");
        assert!(record["code"] == "overloaded" && lane > 1_000.0, "{record}");
    }
    assert_eq!(server.failed("timeout"), 0.0);
    assert_eq!(server.metric("spawnpoint_breaker_openings_total", ""), 0.0);
}

#[test]
fn of_more_heavy_calls_than_there_is_time_for_some_come_to_their_end_and_the_last_are_told_early() {
    let server = one_thread();
    server.deploy_with("busy", &guest("spin"), r#"{"limits": {"cpu_ms": 100, "wall_ms": 8000}}"#);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut all: Vec<_> = (0..100 * cores).map(|_| asks(&server, "busy/")).collect();
    let answers: Vec<_> = all.iter_mut().map(|raw| raw.answer().expect("an answer")).collect();
    // If all of them took turns none would have used so much by then.
    let (ended, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.code() == "cpu_limit");
    assert!(!ended.is_empty());
    for answer in &refused {
        assert_eq!((answer.status, answer.code(), answer.header("retry-after")), (503, "overloaded", "1"));
    }
    let path = format!("{}/failures?code=overloaded", Server::path("busy"));
    let told = server.admin("GET", &path, &[], b"").json();
    let early = |record: &serde_json::Value| record["wall_ms"].as_f64().expect("a number") < 8_000.0;
    assert!(told["failures"].as_array().expect("a list").iter().any(early), "{told}");
}

#[test]
fn a_heavy_call_answers_like_any_other() {
    let server = one_thread();
    for _ in 0..3 {
        let answer = get(server.ingress, "/default/burn/?ms=20&chunks=3");
        assert_eq!((answer.status, answer.text().as_str()), (200, "chunk 0\nchunk 1\nchunk 2\n"));
    }
    assert_eq!(moved(&server, "start"), 3.0);
}

#[test]
fn a_call_of_a_light_function_that_turns_out_heavy_is_moved_and_answers() {
    let server = one_thread();
    // Nobody knows of a new one that it is light until it has shown it.
    for starts in [1.0, 1.0] {
        assert_eq!(get(server.ingress, "/default/burn/?ms=0").status, 200);
        assert_eq!(moved(&server, "start"), starts);
    }
    let answer = get(server.ingress, "/default/burn/?ms=20&chunks=3");
    assert_eq!((answer.status, answer.text().as_str()), (200, "chunk 0\nchunk 1\nchunk 2\n"));
    assert_eq!(moved(&server, "later"), 1.0);
}

#[test]
fn a_new_function_is_taken_for_what_others_of_the_same_upload_showed_last() {
    let server = Server::with(Config::default().flag("--threads", "1").toml("fast_tier = false"));
    let deploys = |name: &str| drop(server.deploy_with(name, &guest("burn"), LONG));
    let starts = |target: &str| {
        let before = moved(&server, "start");
        assert_eq!(get(server.ingress, target).status, 200);
        moved(&server, "start") - before
    };
    for name in ["first", "second", "third", "fourth"] {
        deploys(name);
    }
    assert_eq!(starts("/default/first/?ms=0"), 1.0, "nobody knows it");
    assert_eq!(starts("/default/second/?ms=0"), 0.0, "it was seen to be short");
    assert_eq!(starts("/default/second/?ms=20"), 0.0);
    assert_eq!(moved(&server, "later"), 1.0, "and surprises");
    assert_eq!(starts("/default/third/?ms=0"), 1.0, "so that it is in doubt again");
    assert_eq!(starts("/default/fourth/?ms=0"), 0.0);
}

#[test]
fn a_call_that_came_to_nothing_shows_nothing() {
    let server = Server::with(Config::default().flag("--threads", "1").toml("fast_tier = false"));
    for name in ["first", "second"] {
        server.deploy_with(name, &guest("sleep"), r#"{"limits": {"cpu_ms": 50, "wall_ms": 200}}"#);
    }
    for (starts, name) in [(1.0, "first"), (2.0, "first"), (3.0, "second")] {
        let answer = get(server.ingress, &format!("/default/{name}/"));
        assert_eq!((answer.status, answer.code()), (504, "timeout"));
        assert_eq!(moved(&server, "start"), starts, "nobody knows how long its calls compute");
    }
}

#[test]
fn a_heavy_call_streams_as_it_computes() {
    let server = one_thread();
    let mut raw = asks(&server, "burn/?ms=50&chunks=4");
    assert!(raw.head().unwrap().starts_with("HTTP/1.1 200"));
    for number in 0..4 {
        assert_eq!(raw.chunk().unwrap(), format!("chunk {number}\n").as_bytes());
        assert_eq!(get(server.ingress, "/default/ok/").text(), "ok");
    }
}

#[test]
fn a_function_whose_calls_are_heavy_starts_in_the_heavy_lane() {
    let server = one_thread();
    for _ in 0..6 {
        assert_eq!(get(server.ingress, "/default/burn/?ms=10").status, 200);
    }
    assert_eq!(moved(&server, "start"), 6.0);
    // And comes back when so many in a row were short again.
    for _ in 0..40 {
        assert_eq!(get(server.ingress, "/default/burn/?ms=0").status, 200);
    }
    let before = moved(&server, "start");
    assert_eq!(get(server.ingress, "/default/burn/?ms=0").status, 200);
    assert_eq!(moved(&server, "start"), before);
}

#[test]
fn a_heavy_call_is_stopped_at_its_limits() {
    let server = one_thread();
    server.deploy_with("cpu", &guest("spin"), r#"{"limits": {"cpu_ms": 100}}"#);
    server.deploy_with("wall", &guest("spin"), r#"{"limits": {"cpu_ms": 400, "wall_ms": 500}}"#);
    // More of them than cores: each has its wall time, but not its CPU time.
    let many: Vec<Raw> = (0..16).map(|_| asks(&server, "wall/")).collect();
    for mut raw in many {
        let answer = raw.answer().unwrap();
        assert!(matches!(answer.code(), "overloaded" | "timeout" | "cpu_limit"), "{}", answer.text());
    }
    let answer = get(server.ingress, "/default/cpu/");
    assert_eq!((answer.status, answer.code()), (502, "cpu_limit"));
}

#[test]
fn a_client_that_leaves_ends_its_heavy_call_and_frees_its_instance() {
    let server = Server::with(Config::default().flag("--threads", "1").toml("[server]\ninstances = 4\n"));
    server.deploy_with("spin", &guest("spin"), LONG);
    server.deploy("ok", &guest("ok"));
    for _ in 0..3 {
        let hogs: Vec<Raw> = (0..4).map(|_| asks(&server, "spin/")).collect();
        eventually("every place is taken", || get(server.ingress, "/default/ok/").code() == "overloaded");
        drop(hogs);
        eventually("they are free again", || get(server.ingress, "/default/ok/").status == 200);
    }
}

#[test]
fn a_heavy_0_3_call_goes_on_too() {
    let server = one_thread();
    server.deploy_with("p3", &guest("many_p3"), r#"{"limits": {"cpu_ms": 200}}"#);
    let answer = get(server.ingress, "/default/p3/?do=spin");
    assert_eq!((answer.status, answer.code()), (502, "cpu_limit"));
    assert!(moved(&server, "start") >= 1.0);
    assert_eq!(get(server.ingress, "/default/ok/").text(), "ok");
}

#[test]
fn an_instance_that_ended_well_in_the_heavy_lane_may_answer_again() {
    let server = one_thread();
    let manifest = r#"{"reuse": {"max_requests": 100}, "limits": {"cpu_ms": 20000, "wall_ms": 60000}}"#;
    server.deploy_with("again", &guest("burn"), manifest);
    // What is compiled a second time begins with an instance of its own.
    server.optimised();
    assert_eq!(get(server.ingress, "/default/again/?ms=10").status, 200);
    let answer = get(server.ingress, "/default/again/?ms=10");
    assert_eq!((answer.status, answer.header("x-spawnpoint-start")), (200, "reused"));
}

#[test]
fn a_tenant_that_takes_a_thread_goes_on_in_the_heavy_lane_while_others_are_there() {
    let server = one_thread();
    for tenant in ["many", "few"] {
        server.tenant(tenant);
        assert_eq!(server.upload_with(tenant, "f", &guest("ok"), "{}").status, 201);
        assert_eq!(get(server.ingress, &format!("/{tenant}/f/")).text(), "ok");
    }
    let over = AtomicBool::new(false);
    let ask = |target: &str| {
        let mut raw = Raw::connect(server.ingress);
        while !over.load(Relaxed) {
            assert_eq!(raw.get(target).expect("an answer").text(), "ok");
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| ask("/many/f/"));
        }
        let before = moved(&server, "start");
        let mut few = Raw::connect(server.ingress);
        eventually("calls of the one that takes the thread start in the heavy lane", || {
            assert_eq!(few.get("/few/f/").expect("an answer").text(), "ok");
            // Far more than a doubt or two would send there.
            moved(&server, "start") > before + 500.0
        });
        over.store(true, Relaxed);
    });
}

/// Runs something while others want more than all of the cores.
fn while_others_want_all_cores(something: impl FnOnce()) {
    let (over, cores) = (AtomicBool::new(false), std::thread::available_parallelism().map_or(1, usize::from));
    std::thread::scope(|scope| {
        for _ in 0..2 * cores {
            scope.spawn(|| {
                while !over.load(Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        // Whatever becomes of it, they end.
        let went = std::panic::catch_unwind(std::panic::AssertUnwindSafe(something));
        over.store(true, Relaxed);
        went
    })
    .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

#[test]
fn heavy_calls_that_get_next_to_nothing_of_the_cores_are_gone_on_with_by_threads_that_get_more() {
    let server = one_thread();
    let mut hog = asks(&server, "spin/");
    eventually("it is moved", || moved(&server, "later") + moved(&server, "start") >= 1.0);
    let relief = || server.cpu_ns_of("heavy-relief-");
    while_others_want_all_cores(|| {
        let before = relief();
        eventually("it is", || relief() > before + 20_000_000);
    });
    let yielding = || server.cpu_ns_of("heavy-") - relief();
    let (before, mut ended) = (yielding(), server.failed("cpu_limit"));
    eventually("there is enough for all, and they are not needed", || {
        // Where the machine stays full for long, it may end before that.
        if server.failed("cpu_limit") > ended {
            (hog, ended) = (asks(&server, "spin/"), server.failed("cpu_limit"));
        }
        yielding() > before + 50_000_000
    });
    drop(hog);
}

#[test]
fn start_up_code_that_is_tried_at_its_deploy_runs_in_the_heavy_lane() {
    let server = one_thread();
    let before = (server.cpu_ns_of("heavy-"), server.cpu_ns_of("control"));
    let refused =
        server.upload_with("default", "loops", &wat("spin_in_start"), r#"{"limits": {"cpu_ms": 500}}"#);
    assert!(refused.text().contains("cpu_limit"), "{}", refused.text());
    let (heavy, control) = (server.cpu_ns_of("heavy-") - before.0, server.cpu_ns_of("control") - before.1);
    assert!(
        heavy >= 400_000_000 && control < heavy,
        "{heavy} ns there, {control} ns on the threads of the admin API"
    );
}

#[test]
fn tenants_that_take_a_thread_are_answered_all_the_same_over_either_protocol() {
    let server = one_thread();
    for tenant in ["one", "other"] {
        server.tenant(tenant);
        assert_eq!(server.upload_with(tenant, "f", &guest("ok"), "{}").status, 201);
    }
    let (server, ingress) = (&server, server.ingress);
    std::thread::scope(|scope| {
        for tenant in ["one", "other"] {
            for _ in 0..8 {
                scope.spawn(move || {
                    for call in 0..100 {
                        // A new connection for each but the first of two.
                        let mut raw = Raw::connect(ingress);
                        for _ in 0..=call % 2 {
                            assert_eq!(raw.get(&format!("/{tenant}/f/")).expect("an answer").text(), "ok");
                        }
                    }
                });
            }
            scope.spawn(move || {
                let h2 = H2::connect(ingress);
                for _ in 0..20 {
                    let asked: Vec<_> = (0..16)
                        .map(|_| {
                            let request = http::Request::get(format!("http://{ingress}/{tenant}/f/"));
                            h2.start(exchange(
                                h2.sender(),
                                request.body(http_body_util::Full::default()).expect("a request"),
                            ))
                        })
                        .collect();
                    for answer in asked {
                        assert_eq!(h2.run(answer).expect("no panic").expect("an answer").text(), "ok");
                    }
                }
            });
        }
    });
    // Whose function it is that nobody has is nobody's.
    assert_eq!(get(server.ingress, "/nobody/f/").status, 404);
}

#[test]
fn heavy_calls_take_new_memory_no_faster_than_the_operator_says_while_others_are_answered() {
    const PACE: u64 = 20 << 20;
    let config = Config::default().toml(&format!("[server]\nnew_memory_bytes_per_second = {PACE}\n"));
    let server = Server::with(config);
    server.deploy("ok", &guest("ok"));
    server.deploy_with("hog", &guest("hog"), LONG);
    let (done, calls) = (AtomicBool::new(false), AtomicU32::new(0));
    let (said, took) = std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut raw = Raw::connect(server.ingress);
                while !done.load(Relaxed) {
                    assert_eq!(raw.get("/default/ok/").expect("an answer").text(), "ok");
                    calls.fetch_add(1, Relaxed);
                    // The cores are to be free: nothing else is to hold it up.
                    std::thread::sleep(Duration::from_millis(2));
                }
            });
        }
        let beside = std::panic::catch_unwind(|| {
            eventually("others are answered", || calls.load(Relaxed) > 500);
            let began = Instant::now();
            (get(server.ingress, "/default/hog/?answer").text(), began.elapsed())
        });
        done.store(true, Relaxed);
        beside.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    let mib = said.strip_prefix("refused after ").and_then(|rest| rest.strip_suffix(" MiB"));
    assert!(mib.and_then(|mib| mib.parse::<u64>().ok()).is_some_and(|mib| mib > 100), "{said}");
    // Where it began, on the thread that answers, it took some at once.
    assert!(took >= Duration::from_secs((80 << 20) / PACE), "{took:?}");
}
