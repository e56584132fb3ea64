//! A Spawnpoint server under test: the real binary, a data folder of its own, port 0.
//! Must never use anything but what an operator has: flags, a settings file, the admin API.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::client::Client;
use super::process::{Child, Launch};

/// Where and with what servers run.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The binary.
    pub(crate) spawnpoint: PathBuf,
    /// Cores of the server; nowhere in particular when empty.
    pub(crate) cpus: Vec<usize>,
    /// Threads of the server.
    pub(crate) threads: usize,
    /// Requests that one function must take at once.
    pub(crate) connections: usize,
    /// Every core of the machine.
    pub(crate) cores: Vec<usize>,
    /// Whether manifests turn the circuit breaker off: a server that has none refuses the word.
    pub(crate) breaker_off: bool,
    /// A folder that is removed at the end.
    pub(crate) dir: PathBuf,
}

/// A server that is ready.
pub(crate) struct Spawnpoint {
    pub(crate) child: Child,
    pub(crate) ingress: SocketAddr,
    pub(crate) admin_address: SocketAddr,
    /// What the admin API asks for.
    pub(crate) token: String,
    admin: Client,
}

/// What one answer to `PUT` says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deployed {
    /// Milliseconds, by the server's own account.
    pub(crate) compile_ms: f64,
}

/// What is made cold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drops {
    Instances,
    Program,
}

/// A server with thousands of functions has that long to come up.
const READY: Duration = Duration::from_mins(1);
/// How long it may take until what is small is compiled for speed.
pub(crate) const OPTIMISED: Duration = Duration::from_mins(2);
/// As the server has it: more at once needs a manifest.
const DEFAULT_CONCURRENT: usize = 256;

impl Spawnpoint {
    /// Starts a server on `name`'s data folder, which may hold functions from before.
    pub(crate) fn start(place: &Place, name: &str, settings: &str) -> Result<Self> {
        let data = place.dir.join(name);
        let config = place.dir.join(format!("{name}.toml"));
        fs::write(&config, settings)?;
        let launch = Launch::new(&place.spawnpoint, &place.cpus)
            .args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .args(["--data-dir", path(&data)?, "--config", path(&config)?])
            .args(["--threads".to_owned(), place.threads.to_string()]);
        let mut child = launch.start(name, &place.dir.join(format!("{name}.log")))?;
        let (ingress, admin_address) = child.expect(READY, addresses)?;
        let token = fs::read_to_string(data.join("admin-token")).context("no admin token")?;
        let token = token.trim().to_owned();
        let admin = Client::connect(admin_address)?.with_token(&token);
        Ok(Self { child, ingress, admin_address, token, admin })
    }

    /// A new connection to the admin API: the server hangs up on one that has rested for a while.
    pub(crate) fn reconnect(&mut self) -> Result<()> {
        self.admin = Client::connect(self.admin_address)?.with_token(&self.token);
        Ok(())
    }

    /// Makes a tenant.
    pub(crate) fn make_tenant(&mut self, tenant: &str) -> Result<()> {
        let answer = self.admin.send(&format!("PUT /v1/tenants/{tenant}"), "", b"")?;
        let text = String::from_utf8_lossy(&answer.body);
        ensure!(matches!(answer.status, 200 | 201), "making `{tenant}`: {} {text}", answer.status);
        Ok(())
    }

    /// Publishes and activates a function of tenant `default`.
    pub(crate) fn deploy(&mut self, function: &str, wasm: &[u8], manifest: &Value) -> Result<Deployed> {
        self.deploy_in("default", function, wasm, manifest)
    }

    /// Publishes and activates a function.
    pub(crate) fn deploy_in(
        &mut self,
        tenant: &str,
        function: &str,
        wasm: &[u8],
        manifest: &Value,
    ) -> Result<Deployed> {
        let line = format!("PUT /v1/tenants/{tenant}/functions/{function}");
        let answer = if manifest.as_object().is_some_and(|fields| !fields.is_empty()) {
            let (kind, body) = multipart(wasm, manifest);
            self.admin.send(&line, &kind, &body)?
        } else {
            self.admin.send(&line, "application/wasm", wasm)?
        };
        let text = String::from_utf8_lossy(&answer.body);
        ensure!(matches!(answer.status, 200 | 201), "deploying `{function}`: {} {text}", answer.status);
        let body: Value = serde_json::from_str(&text).context("the answer to a deploy is no JSON")?;
        Ok(Deployed { compile_ms: body["timings"]["compile_ms"].as_f64().unwrap_or(0.0) })
    }

    /// Waits until everything that was deployed is compiled for speed: what is measured is what lasts.
    pub(crate) fn optimised(&mut self, limit: Duration) -> Result<()> {
        let start = Instant::now();
        // Whoever waits for long is hung up on.
        self.reconnect()?;
        loop {
            let metrics = self.admin.send("GET /metrics", "", b"")?;
            let text = String::from_utf8_lossy(&metrics.body);
            // A server that has no such thing has nothing pending.
            let pending =
                text.lines().find_map(|line| line.strip_prefix("spawnpoint_optimisations_pending "));
            if pending.is_none_or(|count| count == "0") {
                return Ok(());
            }
            ensure!(start.elapsed() < limit, "after {limit:?} not everything is compiled for speed");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Makes a function cold.
    pub(crate) fn cold(&mut self, function: &str, drops: Drops) -> Result<()> {
        let line = format!("POST /v1/tenants/default/functions/{function}/cold");
        let what = if drops == Drops::Program { "program" } else { "instances" };
        let body = json!({ "drop": what }).to_string();
        let answer = self.admin.send(&line, "application/json", body.as_bytes())?;
        let text = String::from_utf8_lossy(&answer.body);
        ensure!((200..300).contains(&answer.status), "{line}: {} {text}", answer.status);
        Ok(())
    }
}

impl Place {
    /// The manifest of a function under load; no bench makes one anywhere else.
    pub(crate) fn manifest(&self, reuse: bool) -> Value {
        let mut manifest = json!({});
        if self.breaker_off {
            manifest["breaker"] = json!({ "enabled": false });
        }
        if reuse {
            manifest["reuse"] = json!({ "max_requests": 1_000_000 });
        }
        if self.connections > DEFAULT_CONCURRENT {
            manifest["limits"] = json!({ "concurrent_requests": self.connections });
        }
        manifest
    }
}

/// Where a function of tenant `default` answers.
pub(crate) fn path_of(function: &str) -> String {
    path_in("default", function)
}

/// Where a function answers.
pub(crate) fn path_in(tenant: &str, function: &str) -> String {
    format!("/{tenant}/{function}/")
}

fn path(path: &Path) -> Result<&str> {
    path.to_str().context("the temporary folder's path is not UTF-8")
}

/// Both addresses of `ready ingress=http://A:P admin=http://A:P`.
fn addresses(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let mut fields = line.strip_prefix("ready ")?.split(' ');
    let mut field = |name: &str| fields.next()?.strip_prefix(name)?.parse().ok();
    Some((field("ingress=http://")?, field("admin=http://")?))
}

fn multipart(wasm: &[u8], manifest: &Value) -> (String, Vec<u8>) {
    const BOUNDARY: &str = "spawnpoint-bench-6f1d0c2a9b";
    let part = |name: &str, kind: &str| {
        format!(
            "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"{name}\"\r\ncontent-type: {kind}\r\n\r\n"
        )
    };
    let mut body = format!("{}{manifest}\r\n", part("manifest", "application/json")).into_bytes();
    body.extend_from_slice(part("wasm", "application/wasm").as_bytes());
    body.extend_from_slice(wasm);
    body.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
    (format!("multipart/form-data; boundary={BOUNDARY}"), body)
}
