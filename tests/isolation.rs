//! What one run of a guest can see or spoil of another: nothing, whatever the guest does.
//! Must never be run against a server whose pool keeps anything on purpose, but where a manifest says so.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::{Config, Raw, Server, eventually, get, guest, request};

/// Sends this and reads the answer, on a connection that is kept and made again where the server closed it.
struct Client {
    server: std::net::SocketAddr,
    raw: Raw,
}

impl Client {
    fn new(server: &Server) -> Self {
        Self { server: server.ingress, raw: Raw::connect(server.ingress) }
    }

    #[track_caller]
    fn get(&mut self, target: &str) -> crate::support::Answer {
        let asked = format!("GET {target} HTTP/1.1\r\nhost: a.test\r\n\r\n");
        if let Some(answer) = self.raw.send(&asked).answer() {
            return answer;
        }
        self.raw = Raw::connect(self.server);
        self.raw.send(&asked).answer().expect("an answer on a new connection")
    }
}

#[test]
fn a_tenant_that_traps_a_thousand_times_disturbs_nobody() {
    let server = Server::start();
    server.tenant("bad");
    server.tenant("good");
    for (name, wasm) in [("trap", "unreachable"), ("panic", "panic"), ("p3", "many_p3")] {
        let manifest = r#"{"breaker": {"enabled": false}}"#;
        assert_eq!(server.upload_with("bad", name, &guest(wasm), manifest).status, 201);
    }
    for (name, wasm) in [("ok", "ok"), ("p3", "many_p3")] {
        assert_eq!(server.upload_with("good", name, &guest(wasm), "{}").status, 201);
    }
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let good = scope.spawn(|| {
            let mut client = Client::new(&server);
            let mut answered = 0;
            while !over.load(Ordering::Relaxed) || answered < 200 {
                for target in ["/good/ok/", "/good/p3/?do=ok"] {
                    let answer = client.get(target);
                    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"), "after {answered}");
                }
                answered += 1;
            }
        });
        let mut client = Client::new(&server);
        for n in 0..1_000 {
            let target = ["/bad/trap/", "/bad/panic/", "/bad/p3/?do=trap"][n % 3];
            let answer = client.get(target);
            assert_eq!((answer.status, answer.code()), (502, "guest_trap"), "at {n}");
        }
        over.store(true, Ordering::Relaxed);
        good.join().expect("the neighbour is undisturbed");
    });
    server.reaches("spawnpoint_requests_failed_total", "tenant=\"bad\"", 1_000.0);
    assert_eq!(server.metric("spawnpoint_requests_failed_total", "tenant=\"good\""), 0.0);
    assert_eq!(server.metric("spawnpoint_requests_rejected_total", ""), 0.0);
}

#[test]
fn after_a_trap_the_next_request_finds_an_instance_ready() {
    let server = Server::with(Config::default().toml("threads = 1"));
    server.deploy("f", &guest("counter"));
    server.deploy("p3", &guest("many_p3"));
    for (trap, next) in
        [("/default/f/?trap", "/default/f/"), ("/default/p3/?do=trap", "/default/p3/?do=counter")]
    {
        assert_eq!(get(server.ingress, trap).code(), "guest_trap");
        eventually("a ready instance is there", || {
            assert_eq!(get(server.ingress, trap).code(), "guest_trap");
            // Left alone for a moment, the thread makes the next one.
            std::thread::sleep(std::time::Duration::from_millis(20));
            let answer = get(server.ingress, next);
            assert_eq!(answer.text(), "1", "no instance that trapped is used again");
            answer.header("x-spawnpoint-start") == "warm"
        });
    }
}

#[test]
fn no_byte_of_one_run_is_seen_by_another() {
    let server = Server::with(Config::default().toml("threads = 1\n[server]\ninstances = 8"));
    server.tenant("other");
    for tenant in ["default", "other"] {
        assert_eq!(server.upload_with(tenant, "canary", &guest("canary"), "{}").status, 201);
        assert_eq!(server.upload_with(tenant, "p3", &guest("many_p3"), "{}").status, 201);
    }
    // A neighbour with another layout, so that slots change hands.
    server.deploy("counter", &guest("counter"));
    let mut client = Client::new(&server);
    for n in 0..2_000 {
        let target = match n % 5 {
            0 => "/default/canary/?pages=8",
            1 => "/other/canary/?pages=40",
            2 => "/default/p3/?do=canary",
            3 => "/other/p3/?do=canary",
            _ => "/default/counter/",
        };
        let answer = client.get(target);
        let expected = if n % 5 == 4 { "1" } else { "clean" };
        assert_eq!((answer.status, answer.text().as_str()), (200, expected), "at {n}, {target}");
    }
}

#[test]
fn every_request_has_a_fresh_instance_by_default() {
    let server = Server::start();
    server.deploy("f", &guest("counter"));
    server.deploy("p3", &guest("many_p3"));
    let mut client = Client::new(&server);
    for _ in 0..100 {
        for target in ["/default/f/", "/default/p3/?do=counter"] {
            let answer = client.get(target);
            assert_eq!(answer.text(), "1");
            assert_ne!(answer.header("x-spawnpoint-start"), "reused");
        }
    }
}

#[test]
fn a_reused_instance_answers_exactly_as_often_as_it_may() {
    let server = Server::with(Config::default().toml("threads = 1"));
    let reuse = r#"{"reuse": {"max_requests": 4}}"#;
    server.deploy_with("f", &guest("counter"), reuse);
    server.deploy_with("p3", &guest("many_p3"), reuse);
    // What is compiled a second time begins with an instance of its own.
    server.optimised();
    let mut client = Client::new(&server);
    for target in ["/default/f/", "/default/p3/?do=counter"] {
        let seen: Vec<_> = (0..12).map(|_| client.get(target)).collect();
        let counts: Vec<_> = seen.iter().map(super::support::Answer::text).collect();
        assert_eq!(counts.join(" "), "1 2 3 4 1 2 3 4 1 2 3 4", "{target}");
        for answer in seen {
            let reused = answer.header("x-spawnpoint-start") == "reused";
            assert_eq!(
                reused,
                answer.text() != "1",
                "{} {}",
                answer.text(),
                answer.header("x-spawnpoint-start")
            );
        }
    }
}

#[test]
fn an_instance_is_never_reused_after_anything_but_a_clean_end() {
    let server = Server::with(Config::default().toml("threads = 1"));
    let reuse = r#"{"reuse": {"max_requests": 1000}, "limits": {"cpu_ms": 100, "wall_ms": 300}}"#;
    server.deploy_with("f", &guest("counter"), reuse);
    server.deploy_with("p3", &guest("many_p3"), reuse);
    // What is compiled a second time begins with an instance of its own.
    server.optimised();
    let mut client = Client::new(&server);
    for (target, failing) in [
        ("/default/f/", vec!["/default/f/?trap"]),
        (
            "/default/p3/?do=counter",
            vec!["/default/p3/?do=trap", "/default/p3/?do=spin", "/default/p3/?do=sleep"],
        ),
    ] {
        for failure in failing {
            // A guest may go on for a moment after its answer: then the next call finds its instance not yet free.
            let mut reuses = |target: &str| {
                std::thread::sleep(std::time::Duration::from_millis(20));
                let answer = client.get(target);
                assert_eq!(answer.status >= 502, target == failure, "{target}: {}", answer.text());
                answer.header("x-spawnpoint-start") == "reused"
            };
            eventually("one that has answered fails", || reuses(target) && reuses(failure));
            eventually("none is left that has answered", || !reuses(failure));
            assert_eq!(client.get(target).text(), "1", "after {failure}");
        }
    }
}

#[test]
fn a_reused_instance_bears_no_grudge_for_a_body_that_was_too_long() {
    let server = Server::with(Config::default().toml("threads = 1"));
    let manifest = r#"{"reuse": {"max_requests": 1000}, "limits": {"request_body_bytes": 1000}}"#;
    server.deploy_with("f", &guest("read_slowly"), manifest);
    let chunk = format!("258\r\n{}\r\n", "x".repeat(600));
    for _ in 0..5 {
        // All of it at once, so that the guest meets the end of its allowance without waiting.
        let head = "POST /default/f/?n=1000&ms=0 HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n";
        let mut raw = Raw::connect(server.ingress);
        raw.send(format!("{head}transfer-encoding: chunked\r\n\r\n{chunk}{chunk}0\r\n\r\n"));
        assert_eq!(raw.answer().expect("an answer").code(), "payload_too_large");
        // Somebody else, whose body is fine and takes a moment.
        let answer = request(server.ingress, "POST", "/default/f/?n=100&ms=20", &[], &[b'x'; 300]);
        assert_eq!((answer.status, answer.text().as_str()), (200, "300"));
    }
}

#[test]
fn a_reused_instance_is_not_blamed_for_memory_it_once_was_refused() {
    let server = Server::with(Config::default().toml("threads = 1"));
    let manifest =
        r#"{"reuse": {"max_requests": 1000}, "limits": {"memory_bytes": 8388608, "wall_ms": 3000}}"#;
    server.deploy_with("f", &guest("hog"), manifest);
    for _ in 0..3 {
        let answer = get(server.ingress, "/default/f/?answer");
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    assert_eq!(get(server.ingress, "/default/f/").code(), "memory_limit");
}

#[test]
fn a_guest_reaches_no_file_no_socket_and_no_other_server() {
    let server = Server::start();
    server.deploy("fs", &guest("fs_probe"));
    server.deploy("net", &guest("net_probe"));
    server.deploy("out", &guest("outbound"));
    for target in ["/default/fs/".to_owned(), format!("/default/net/?to={}", server.admin)] {
        let answer = get(server.ingress, &target);
        assert_eq!(answer.status, 200, "{}", answer.text());
        for line in answer.text().lines() {
            // A guest's own working directory is a name and not a folder.
            assert!(!line.contains(": reached") || line.starts_with("current_dir: "), "{line}");
        }
        assert!(answer.text().lines().count() >= 5, "{}", answer.text());
    }
    for to in [server.admin.to_string(), server.ingress.to_string(), "169.254.169.254".to_owned()] {
        let text = get(server.ingress, &format!("/default/out/?to={to}")).text();
        assert!(text.starts_with("error ") && text.contains("Denied"), "{text}");
    }
}

#[test]
fn variables_are_seen_by_their_own_function_alone() {
    let server = Server::start();
    server.tenant("other");
    let env = guest("env_echo");
    let manifest = r#"{"variables": {"SECRET": "of default", "GREETING": "hello"}}"#;
    server.deploy_with("mine", &env, manifest);
    server.deploy("bare", &env);
    assert_eq!(
        server.upload_with("other", "mine", &env, r#"{"variables": {"SECRET": "of other"}}"#).status,
        201
    );
    for _ in 0..5 {
        assert_eq!(server.call("mine").text(), "env GREETING=hello\nenv SECRET=of default\n");
        assert_eq!(server.call("bare").text(), "");
        assert_eq!(get(server.ingress, "/other/mine/").text(), "env SECRET=of other\n");
    }
    server.deploy("mine", &env);
    assert_eq!(server.call("mine").text(), "", "a version without variables has none of the one before");
}

#[test]
fn what_a_guest_prints_is_harmless_and_bounded() {
    let server = Server::start();
    server.deploy("f", &guest("stdout_flood"));
    for _ in 0..3 {
        assert_eq!(get(server.ingress, "/default/f/?lines=3000").text(), "ok");
    }
    eventually("the log has it", || server.log().contains("forged"));
    let log = server.log();
    assert!(log.len() < 1 << 20, "{} bytes", log.len());
    assert!(!log.contains('\u{1b}') && !log.contains('\0') && !log.contains('\r') && !log.contains('\u{7}'));
    // A forged line stands within a line of ours, under the function's name.
    for line in log.lines().filter(|line| line.contains("forged")) {
        assert!(line.contains("default/f"), "{line}");
        assert!(!line.starts_with("2038"), "{line}");
    }
}
