//! Deploys, rollbacks, deletes and cold starts while four connections never stop asking: no request may fail, and
//! every answer is of a version that was active at some time between the request and its answer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use super::support::wasm::stamped;
use super::support::{Raw, Server, get, guest, sample};

/// Which version was made active in which step; a step is counted before and after it is asked for.
#[derive(Default)]
struct History {
    /// Steps begun.
    begun: AtomicU64,
    /// Steps whose answer has come.
    ended: AtomicU64,
    /// Step by step, the versions that are right from when it begins.
    versions: Mutex<BTreeMap<u64, Vec<String>>>,
}

impl History {
    /// The versions that may have answered a request that began when `ended` steps had ended and was answered when
    /// `begun` had begun.
    fn allowed(&self, ended: u64, begun: u64) -> BTreeSet<String> {
        let versions = self.versions.lock().unwrap();
        versions.range(ended..=begun).flat_map(|(_, versions)| versions.clone()).collect()
    }

    /// Does a step after which these versions answer.
    fn step(&self, versions: Vec<String>, work: impl FnOnce()) {
        let number = self.begun.load(SeqCst) + 1;
        self.versions.lock().unwrap().insert(number, versions);
        self.begun.store(number, SeqCst);
        work();
        self.ended.store(number, SeqCst);
    }
}

/// Asks until it is told to stop. Returns how often, and which versions answered.
fn ask(server: &Server, target: &str, history: &History, done: &AtomicBool) -> (u64, BTreeSet<String>) {
    let mut raw = Raw::connect(server.ingress);
    let (mut asked, mut seen) = (0, BTreeSet::new());
    while !done.load(SeqCst) {
        let ended = history.ended.load(SeqCst);
        let answer = raw.get(target).expect("an answer, and an open connection");
        let begun = history.begun.load(SeqCst);
        assert_eq!((answer.status, answer.code(), answer.whole), (200, "", true), "{}", answer.text());
        let version = answer.header("x-spawnpoint-version").to_owned();
        let allowed = history.allowed(ended, begun);
        assert!(allowed.contains(&version), "version {version} answered while {allowed:?} were active");
        seen.insert(version);
        asked += 1;
        // Enough to always have something in progress; what compiles stands behind what serves, and is to get on.
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    (asked, seen)
}

/// Runs `work` while four connections ask for `target`.
fn under_load(server: &Server, target: &str, history: &History, work: impl FnOnce()) -> BTreeSet<String> {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let askers: Vec<_> = (0..4).map(|_| scope.spawn(|| ask(server, target, history, &done))).collect();
        let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        done.store(true, SeqCst);
        let mut all = BTreeSet::new();
        for asker in askers {
            let (asked, seen) = asker.join().expect("no request fails");
            assert!(asked > 0);
            all.extend(seen);
        }
        if let Err(panic) = worked {
            std::panic::resume_unwind(panic);
        }
        all
    })
}

/// Deploys and rolls back twenty times, with everything else that an operator may do at the side.
fn twenty_changes(server: &Server, (wasm, manifest): (&[u8], &str), history: &History) {
    let mut published = 1;
    for change in 0..20_u32 {
        if change % 2 == 0 {
            published += 1;
            let version = published.to_string();
            history.step(vec![version.clone()], || {
                let answer = server.deploy_with("f", &stamped(wasm, change), manifest);
                assert_eq!(answer.json()["version"].to_string(), version);
            });
        } else if change % 4 == 1 {
            let version = change % published + 1;
            history.step(vec![version.to_string()], || {
                assert_eq!(server.activate("f", &format!("{{\"version\":{version}}}")).status, 200);
            });
        } else {
            let body =
                format!(r#"{{"weights":[{{"version":1,"weight":1}},{{"version":{published},"weight":2}}]}}"#);
            history.step(vec!["1".to_owned(), published.to_string()], || {
                assert_eq!(server.activate("f", &body).status, 200);
            });
        }
        // What happens to others, or to what is kept ready, changes no answer.
        server.cool("f", if change % 3 == 0 { "program" } else { "instances" });
        if change % 4 == 0 {
            server.deploy("other", &stamped(&guest("counter"), change));
            assert_eq!(server.call("other").status, 200);
            assert_eq!(server.admin("DELETE", &Server::path("other"), &[], &[]).status, 204);
            assert_eq!(server.call("other").code(), "no_route");
        }
    }
}

fn no_request_fails(wasm: &[u8], manifest: &str) {
    let server = Server::start();
    server.deploy_with("f", wasm, manifest);
    let history = History::default();
    history.versions.lock().unwrap().insert(0, vec!["1".to_owned()]);
    let seen = under_load(&server, "/default/f/", &history, || {
        twenty_changes(&server, (wasm, manifest), &history);
    });
    assert!(seen.len() > 2, "more than one version had its turn: {seen:?}");
    assert_eq!(server.metric("spawnpoint_requests_failed_total", "function=\"f\""), 0.0);
    assert!(!server.log().contains("does not obey"), "{}", server.log());
}

#[test]
fn no_request_fails_while_versions_come_and_go() {
    no_request_fails(&guest("ok"), "{}");
}

#[test]
fn no_request_to_a_newer_component_fails_either() {
    no_request_fails(&sample("hello-p3"), "{}");
}

#[test]
fn no_request_to_a_reused_instance_fails_either() {
    no_request_fails(&guest("ok"), r#"{"reuse":{"max_requests":1000}}"#);
}

#[test]
fn after_a_change_is_answered_the_old_version_answers_nobody() {
    let server = Server::start();
    let wasm = guest("env_echo");
    let history = History::default();
    server.deploy_with("f", &wasm, r#"{"variables":{"ROUND":"0"},"reuse":{"max_requests":1000}}"#);
    history.versions.lock().unwrap().insert(0, vec!["1".to_owned()]);
    under_load(&server, "/default/f/", &history, || {
        for round in 1..=8 {
            let manifest =
                format!(r#"{{"variables":{{"ROUND":"{round}"}},"reuse":{{"max_requests":1000}}}}"#);
            history.step(vec![(round + 1).to_string()], || drop(server.deploy_with("f", &wasm, &manifest)));
            // Not one instance of the version before is left on any thread.
            for _ in 0..8 {
                let text = get(server.ingress, "/default/f/").text();
                assert!(text.contains(&format!("env ROUND={round}\n")), "{text}");
            }
        }
    });
}

#[test]
fn requests_during_a_delete_are_answered_or_told_that_there_is_nothing() {
    let server = Server::start();
    let wasm = guest("ok");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let askers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut raw = Raw::connect(server.ingress);
                    while !done.load(SeqCst) {
                        let answer = raw.get("/default/f/").expect("an answer");
                        let fine = answer.status == 200 || answer.code() == "no_route";
                        assert!(fine, "{} {}", answer.status, answer.text());
                        std::thread::sleep(std::time::Duration::from_millis(2));
                    }
                })
            })
            .collect();
        let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..10 {
                server.deploy("f", &wasm);
                assert_eq!(server.admin("DELETE", &Server::path("f"), &[], &[]).status, 204);
            }
        }));
        done.store(true, SeqCst);
        for asker in askers {
            asker.join().expect("no request fails");
        }
        if let Err(panic) = worked {
            std::panic::resume_unwind(panic);
        }
    });
}
