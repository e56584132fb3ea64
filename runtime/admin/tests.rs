//! The admin API on a real catalog and a real blob store. Its compiling children are this test binary, which knows no
//! such command, so that a deploy gets as far as the compiler and fails there.

mod multipart;
mod openapi;
mod problems;
mod routes;
mod sockets;
mod token;
mod uploads;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Handle;

use super::{Addresses, AdminState, Token, router};
use crate::catalog::{Catalog, NewVersion};
use crate::deploy::loader::Loader;
use crate::deploy::pipeline::{Deployer, Policy};
use crate::deploy::rest::Rests;
use crate::deploy::table::Table;
use crate::engine::artifact::ArtifactStore;
use crate::engine::compile::Compiler;
use crate::engine::crew::Crew;
use crate::engine::lanes::HeavyLane;
use crate::engine::locate::Locator;
use crate::engine::profile::Slots;
use crate::engine::program::Engines;
use crate::engine::ticker::Ticker;
use crate::host::account::Accounts;
use crate::model::breaker::Rules;
use crate::model::limits::{Limits, ServerLimits};
use crate::model::manifest::Manifest;
use crate::model::version::{Digest, Handler, Profile, Tier};
use crate::storage::{Blobs, DataDir, Storage};

/// Bytes of the largest upload here.
const UPLOAD: usize = 512 * 1024;

struct Rig {
    dir: TempDir,
    router: Router,
    token: String,
    deployer: Arc<Deployer>,
    ready: Arc<AtomicBool>,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Rig {
    async fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        let server = ServerLimits { upload_bytes: UPLOAD as u64, tenants: 8, ..ServerLimits::default() };
        let catalog = Catalog::open(Storage::open(&data, "catalog").await.unwrap(), &server).await.unwrap();
        let ceiling = Limits::default_ceiling();
        let ticker = Ticker::start(false).unwrap();
        let slots = Slots { instances: 2, ceiling, scan_pages: false, resident_bytes: 0, resets: true };
        let engines = Engines::new(slots, ticker.clone()).unwrap();
        let artifacts = ArtifactStore::open(data.path()).unwrap();
        let rests = Rests::of(Arc::new(|| 0));
        let children = (Compiler::new(&server, true), Locator::new(&server), 1, rests);
        let blobs = Blobs::open(&data).unwrap();
        let loader = Loader::new(engines, artifacts, blobs, children, (Handle::current(), Tier::Fast));
        let policy = Policy {
            defaults: Limits::default(),
            ceiling,
            server,
            breaker: Rules::default(),
            server_timing: true,
        };
        let heavy = HeavyLane::start(1, &ticker, &Handle::current(), (Arc::new(|| 0), 0)).unwrap();
        let plane = (loader, Arc::new(Table::new(Accounts::unlimited())));
        let deployer = Deployer::new(catalog, plane, Crew::new(vec![]), heavy, policy);
        let token = Token::open(data.path()).unwrap();
        let text = token.reveal().to_owned();
        let ready = Arc::new(AtomicBool::new(true));
        let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8080));
        let router = router(AdminState {
            deployer: deployer.clone(),
            token,
            addresses: Addresses::new(address, "localhost", false),
            metrics: Arc::new(|| "up 1\n".to_owned()),
            ready: ready.clone(),
        });
        Self { dir, router, token: text, deployer, ready }
    }

    /// A request with the token.
    async fn ask(&self, method: &str, path: &str, body: impl Into<Body>) -> Answer {
        self.ask_with(method, path, &[], body).await
    }

    async fn ask_with(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        let mut all = vec![("authorization", bearer.as_str())];
        all.extend_from_slice(headers);
        self.send(method, path, &all, body.into()).await
    }

    /// A request as it is.
    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Body) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let service = TowerToHyperService::new(self.router.clone());
        let response = service.call(request.body(body).unwrap()).await.unwrap();
        let (head, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        Answer { status: head.status, headers: head.headers, text }
    }

    /// A version in the catalog that was never compiled.
    async fn publish(&self, tenant: &str, function: &str, seed: u8) {
        let new = NewVersion {
            digest: Digest([seed; 32]),
            size_bytes: 3,
            handler: Handler::Http02,
            profile: Profile::Lean,
            manifest: Manifest::default(),
        };
        let (tenant, function) = (tenant.parse().unwrap(), function.parse().unwrap());
        self.deployer.catalog.publish_active(&tenant, &function, &new).await.unwrap();
    }

    /// Blobs and what is on its way to become one.
    fn kept(&self) -> usize {
        files(&self.dir.path().join("blobs")) + files(&self.dir.path().join("tmp"))
    }
}

fn files(path: &Path) -> usize {
    let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { files(&path) } else { 1 }).sum()
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Checks that this is a refusal in the one form there is, and gives its detail.
    #[track_caller]
    fn refused(&self, status: u16, code: &str) -> String {
        assert_eq!(
            (self.status.as_u16(), self.header("x-spawnpoint-error")),
            (status, code),
            "{}",
            self.text
        );
        assert_eq!(self.header("content-type"), "application/problem+json");
        let json = self.json();
        assert_eq!(json["code"], code);
        assert_eq!(json["status"], status);
        assert_eq!(json["type"], format!("urn:spawnpoint:error:{code}"));
        assert!(json["title"].is_string());
        json["detail"].as_str().unwrap().to_owned()
    }
}
