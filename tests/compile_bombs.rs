//! Uploads that are valid and too expensive: the child that compiles them ends, and traffic does not notice.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::support::siege::Siege;
use super::support::wasm::{bomb, component_of, nested, stamped};
use super::support::{Config, Raw, eventually, guest};

const LIMIT: (u16, &str) = (422, "compile_limit");

/// Traffic, and no load test: the compiler is to get on.
fn under_traffic(siege: &Siege, work: impl FnOnce()) {
    beside_calls(siege, Duration::from_millis(2), work);
}

/// Calls the old function until the work is done, and pauses between. None of its calls may fail.
fn beside_calls(siege: &Siege, pause: Duration, work: impl FnOnce()) {
    let (done, calls) = (AtomicBool::new(false), AtomicU32::new(0));
    let ingress = siege.server.ingress;
    std::thread::scope(|scope| {
        let traffic = scope.spawn(|| {
            let mut raw = Raw::connect(ingress);
            while !done.load(Relaxed) {
                let answer = raw.get("/default/old/").expect("an answer");
                assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
                calls.fetch_add(1, Relaxed);
                std::thread::sleep(pause);
            }
        });
        let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        done.store(true, Relaxed);
        traffic.join().expect("no call fails");
        if let Err(panic) = worked {
            std::panic::resume_unwind(panic);
        }
    });
    assert!(calls.load(Relaxed) > 10, "{} calls", calls.load(Relaxed));
}

#[test]
fn one_that_takes_too_long_is_refused_while_traffic_goes_on() {
    let siege = Siege::begin(Config::default().toml("[server]\ncompile_wall_ms = 1000"));
    under_traffic(&siege, || {
        siege.refuses("a bomb", &component_of(100_000), LIMIT, "longer");
    });
    siege.holds("the bomb");
}

#[test]
fn one_that_takes_too_much_cpu_time_is_refused() {
    let siege = Siege::begin(Config::default().toml("[server]\ncompile_cpu_s = 1"));
    under_traffic(&siege, || {
        siege.refuses("a bomb", &component_of(100_000), LIMIT, "CPU");
    });
}

#[test]
fn one_that_takes_too_much_memory_is_refused() {
    let settings = "[server]\ncompile_memory_bytes = 2147483648\ncompile_wall_ms = 45000";
    let siege = Siege::begin(Config::default().toml(settings));
    under_traffic(&siege, || {
        let answer = siege.server.upload("new", &bomb(20_000));
        // On a machine that is busy with something else, time may run out first.
        let said = if answer.text().contains("longer") { "longer" } else { "memory" };
        siege.is_refusal("a bomb", &answer, LIMIT, said);
    });
    assert_eq!(siege.server.call("new").code(), "no_route");
    assert!(siege.server.memory() < 1 << 30, "the server itself has {} bytes", siege.server.memory());
}

#[test]
fn a_hundred_thousand_functions_are_a_version_or_too_expensive_and_never_a_failure() {
    let siege = Siege::begin(Config::default());
    under_traffic(&siege, || {
        for wasm in [component_of(100_000), nested(50_000)] {
            let answer = siege.server.upload("large", &wasm);
            let fine = answer.status == 201 || (answer.status, answer.code()) == LIMIT;
            assert!(fine || answer.code() == "compile_failed", "{}", answer.text());
        }
    });
    assert!(!siege.server.log().contains("the compiler's last words"), "{}", siege.server.log());
}

#[test]
fn bombs_at_once_wait_for_each_other_and_are_all_refused() {
    let settings = "[server]\ncompile_wall_ms = 1000\ncompiles = 1";
    let siege = Siege::begin(Config::default().toml(settings));
    let wasm = component_of(60_000);
    under_traffic(&siege, || {
        std::thread::scope(|scope| {
            for number in 0..4 {
                let (server, wasm) = (&siege.server, &wasm);
                scope.spawn(move || {
                    let answer = server.upload(&format!("bomb-{number}"), wasm);
                    assert_eq!((answer.status, answer.code()), LIMIT, "{}", answer.text());
                });
            }
        });
    });
    // The queue is free again: a small one does not wait for those that were killed.
    siege.server.deploy("next", &super::support::guest("counter"));
}

#[test]
fn a_client_that_leaves_while_its_bomb_compiles_blocks_nobody() {
    let siege = Siege::begin(Config::default().toml("[server]\ncompile_wall_ms = 2000\ncompiles = 1"));
    let wasm = component_of(100_000);
    let mut raw = Raw::connect(siege.server.admin);
    raw.send(format!(
        "PUT /v1/tenants/default/functions/bomb HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\r\n",
        siege.server.token,
        wasm.len()
    ));
    raw.send(&wasm);
    super::support::eventually("it is kept", || siege.server.blobs().len() == 2);
    drop(raw);
    siege.server.deploy("next", &super::support::guest("counter"));
    assert_eq!(siege.server.call("next").status, 200);
    super::support::eventually("nothing of it is left", || siege.server.blobs().len() == 2);
    assert_eq!(siege.server.shown("bomb").code(), "no_such_function");
}

#[test]
fn a_server_that_is_killed_leaves_no_compiler_behind() {
    let siege = Siege::begin(Config::default());
    let mut server = siege.server;
    let parent = server.pid();
    let mut raw = Raw::connect(server.admin);
    let bytes = bomb(20_000);
    raw.send(format!(
        "PUT /v1/tenants/default/functions/new HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\r\n",
        server.token,
        bytes.len()
    ));
    raw.send(&bytes);
    let mut compiler = None;
    eventually("it compiles", || {
        compiler = child_of(parent);
        compiler.is_some()
    });
    server.kill();
    let compiler = compiler.expect("a compiler");
    eventually("the compiler is gone", || !is_running(compiler));
}

/// The process that `parent` has started, if there is one.
fn child_of(parent: u32) -> Option<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{parent}/task")).ok()?;
    let children =
        tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    children
        .flat_map(|text| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .find_map(|pid| pid.parse().ok())
}

/// A zombie that nobody has waited for runs no more.
fn is_running(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().unwrap_or("").trim().chars().next();
    state.is_some_and(|state| state != 'Z')
}

#[test]
fn who_deploys_one_thing_after_the_other_beside_calls_compiles_a_quarter_of_the_time() {
    let siege = Siege::begin(Config::default());
    let ok = guest("ok");
    beside_calls(&siege, Duration::ZERO, || {
        let began = Instant::now();
        let compiled: Vec<u64> = (0..6)
            .map(|number| {
                let timings = &siege.server.deploy("new", &stamped(&ok, number)).json()["timings"];
                ["componentize_ms", "compile_ms"].iter().filter_map(|name| timings[name].as_u64()).sum()
            })
            .collect();
        // Before the last one there is a rest after each, at most two seconds; a millisecond may have been rounded up.
        let due = |compiled: &u64| (4 * compiled.saturating_sub(2)).min(compiled + 2_000);
        let least: u64 = compiled[..5].iter().map(due).sum();
        let took = began.elapsed();
        assert!(took >= Duration::from_millis(least), "{took:?} for {compiled:?} ms of compiling");
    });
}
