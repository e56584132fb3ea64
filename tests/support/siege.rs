//! A server with one function that answers, and what must be the same after whatever was thrown at it.
//! Must never be used where something is meant to change.

use std::path::PathBuf;

use super::{Answer, Config, Raw, Server, guest};

/// The server and what it was before.
pub struct Siege {
    pub server: Server,
    open: std::cell::RefCell<Raw>,
    blobs: Vec<String>,
    artifacts: Vec<PathBuf>,
    etag: String,
}

impl Siege {
    /// Begins, with the function `old` answering.
    #[track_caller]
    pub fn begin(config: Config) -> Self {
        let server = Server::with(config);
        server.deploy("old", &guest("ok"));
        // Or its files would change by themselves.
        server.optimised();
        Self {
            open: std::cell::RefCell::new(Raw::connect(server.ingress)),
            blobs: server.blobs(),
            artifacts: server.artifacts(),
            etag: server.shown("old").header("etag").to_owned(),
            server,
        }
    }

    /// Uploads to a new name and over the old one: both are refused alike, and nothing changes. The detail holds `said`.
    #[track_caller]
    pub fn refuses(&self, what: &str, wasm: &[u8], (status, code): (u16, &str), said: &str) -> Answer {
        let target = |name: &str| Server::path(name);
        let mut answer = None;
        for name in ["new", "old"] {
            let refused = self.server.admin("PUT", &target(name), &[], wasm);
            self.is_refusal(what, &refused, (status, code), said);
            answer = Some(refused);
        }
        self.holds(what);
        answer.expect("two refusals")
    }

    /// Checks one refusal.
    #[track_caller]
    pub fn is_refusal(&self, what: &str, answer: &Answer, (status, code): (u16, &str), said: &str) {
        assert_eq!((answer.status, answer.code()), (status, code), "{what}: {}", answer.text());
        assert_eq!(answer.header("content-type"), "application/problem+json", "{what}");
        let problem = answer.json();
        assert_eq!((&problem["status"], &problem["code"]), (&status.into(), &code.into()), "{what}");
        let detail = problem["detail"].as_str().expect("text");
        assert!(detail.contains(said), "{what}: `{said}` is not in: {detail}");
        assert!(detail.len() < 2_000, "{what}: {} bytes of detail", detail.len());
        assert!(detail.chars().all(|c| !c.is_control()), "{what}: {detail:?}");
        let dir = self.server.data_dir();
        assert!(!detail.contains(dir.to_str().expect("text")), "{what} shows a path: {detail}");
    }

    /// What answered still does, and nothing of what was refused can be seen.
    #[track_caller]
    pub fn holds(&self, after: &str) {
        let mut open = self.open.borrow_mut();
        let answer = open.get("/default/old/").unwrap_or_else(|| {
            // It was idle for longer than a connection may be.
            *open = Raw::connect(self.server.ingress);
            open.get("/default/old/").expect("an answer")
        });
        assert_eq!((answer.status, answer.header("x-spawnpoint-version")), (200, "1"), "after {after}");
        let server = &self.server;
        assert_eq!(server.call("new").code(), "no_route", "after {after}");
        assert_eq!(server.shown("new").code(), "no_such_function", "after {after}");
        assert_eq!(server.shown("old").header("etag"), self.etag, "after {after}");
        assert_eq!(server.versions("old"), [1], "after {after}");
        let list = server.admin("GET", "/v1/tenants/default/functions", &[], &[]).json();
        assert_eq!(list["functions"].as_array().map(Vec::len), Some(1), "after {after}");
        assert_eq!(server.blobs(), self.blobs, "after {after}");
        assert_eq!(server.artifacts(), self.artifacts, "after {after}");
        assert_eq!(server.half_written(), Vec::<PathBuf>::new(), "after {after}");
    }
}
