//! What chapters about a failing machine share: a server whose failpoints are armed, and somebody who must not notice.
//! Must never call what a fault is meant for.

use std::sync::atomic::{AtomicBool, Ordering};

use super::{Answer, Config, Raw, Server, guest};

/// What the log says when an artifact is made anew.
pub const AGAIN: &str = "compiling again";
pub const HOST: (u16, &str) = (500, "host_error");
pub const FULL: (u16, &str) = (507, "disk_full");
pub const LOCKED: (u16, &str) = (503, "catalog_locked");

/// A server whose failpoints are armed, with a function that nothing of this concerns.
pub fn serving() -> Server {
    let server = Server::with(Config::default().failpoints());
    server.deploy("steady", &guest("counter"));
    server.optimised();
    server
}

/// Does something while `steady` is called without a pause, on a connection that stays and on new ones: no call fails.
#[track_caller]
pub fn undisturbed<T>(server: &Server, what: impl FnOnce() -> T) -> T {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let calling = scope.spawn(|| {
            let mut raw = Raw::connect(server.ingress);
            loop {
                for answer in [raw.get("/default/steady/").expect("an answer"), server.call("steady")] {
                    assert_eq!((answer.status, answer.code()), (200, ""), "{}", answer.text());
                }
                if done.load(Ordering::SeqCst) {
                    return;
                }
            }
        });
        let result = what();
        done.store(true, Ordering::SeqCst);
        calling.join().expect("nobody else notices");
        result
    })
}

/// A refusal of the admin API by this name, which tells nothing of the machine.
#[track_caller]
pub fn is_problem(answer: &Answer, (status, code): (u16, &str), what: &str) {
    assert_eq!((answer.status, answer.code()), (status, code), "{what}: {}", answer.text());
    assert_eq!(answer.header("content-type"), "application/problem+json", "{what}");
    assert_eq!(answer.json()["code"], code, "{what}");
    assert!(!answer.text().contains("/tmp") && !answer.text().contains("os error"), "{}", answer.text());
}
