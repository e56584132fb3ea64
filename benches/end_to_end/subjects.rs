//! What is compared with what: one line for each server, and how to start it.
//! Must never give one server a setting that another is refused without saying so in its name.

use std::ffi::OsStr;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::guests;
use crate::native::Native;
use crate::process::{Child, Launch, Memory};
use crate::spawnpoint::{OPTIMISED, Place, Spawnpoint, path_of};

/// What every hello answers.
pub(crate) const HELLO: &str = "Hello, World!\n";

/// One row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    kind: Kind,
    guest: &'static str,
    expected: &'static str,
    /// Threads of the server, if not as many as the others have.
    threads: Option<usize>,
    /// Measured unless others are asked for.
    pub(crate) usual: bool,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Native,
    /// As it comes: an instance that was put back to how it was made, or a new one.
    Fresh,
    /// A new one for each request.
    New,
    Reuse,
    /// As `Fresh` and `Reuse`, of a component that was not lowered.
    Component {
        reuse: bool,
    },
    Wasmtime(&'static [&'static str]),
    Workerd,
}

/// A server that answers.
pub(crate) struct Server {
    pub(crate) subject: Subject,
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) path: String,
    pub(crate) expected: &'static str,
    /// Before the first load.
    pub(crate) idle: Memory,
}

/// The control's name.
pub(crate) const NATIVE: &str = "native";
/// What `fresh` is compared with when it has two threads.
pub(crate) const ONE_THREAD: &str = "fresh-one-thread";

pub(crate) const P2: &[&str] = &["-Scli"];
const P3: &[&str] = &["-Scli,p3", "-Wcomponent-model-async"];
const TUNED: &[&str] = &[
    "-Scli,http-outgoing-body-buffer-chunks=4",
    "-Opooling-allocator,pooling-memory-keep-resident=1048576,pooling-table-keep-resident=65536,pooling-pagemap-scan",
];
const REUSED: &[&str] = &["-Scli", "--max-instance-reuse-count=1000000"];

/// A server of one guest that answers [`HELLO`].
const fn hello(name: &'static str, kind: Kind, guest: &'static str, about: &'static str) -> Subject {
    Subject { name, about, kind, guest, expected: HELLO, threads: None, usual: true }
}

/// The same for the 75 KB guest with 14 imports, which answers `ok`.
const fn classic(name: &'static str, kind: Kind, about: &'static str) -> Subject {
    Subject { name, about, kind, guest: "examples/ok", expected: "ok", threads: None, usual: true }
}

const fn on_request(subject: Subject) -> Subject {
    Subject { usual: false, ..subject }
}

const fn one_thread(subject: Subject) -> Subject {
    Subject { threads: Some(1), ..subject }
}

/// Every row there is.
pub(crate) const ALL: &[Subject] = &[
    hello(NATIVE, Kind::Native, "", "the control: plain hyper, no guest"),
    hello("fresh", Kind::Fresh, "hello_wasip2", "spawnpoint, 0.2, an instance as new for each request"),
    hello("new", Kind::New, "hello_wasip2", "spawnpoint, 0.2, a new instance for each request"),
    hello("reuse", Kind::Reuse, "hello_wasip2", "spawnpoint, 0.2, instances reused"),
    hello("p3-fresh", Kind::Fresh, "hello_p3", "spawnpoint, 0.3, an instance as new for each request"),
    hello("p3-reuse", Kind::Reuse, "hello_p3", "spawnpoint, 0.3, instances reused"),
    classic("classic-fresh", Kind::Fresh, "spawnpoint, 0.2, as `fresh`, the 75 KB guest"),
    hello("wasmtime", Kind::Wasmtime(P2), "hello_wasip2", "wasmtime serve, defaults (fresh instances)"),
    hello(
        "wasmtime-tuned",
        Kind::Wasmtime(TUNED),
        "hello_wasip2",
        "wasmtime serve, pooling, keep-resident, page scan",
    ),
    hello(
        "wasmtime-p3",
        Kind::Wasmtime(P3),
        "hello_p3",
        "wasmtime serve, 0.3, defaults (an instance is reused 128 times)",
    ),
    classic("wasmtime-classic", Kind::Wasmtime(P2), "wasmtime serve, defaults, the 75 KB guest"),
    hello("workerd", Kind::Workerd, "", "workerd, JavaScript, one isolate reused"),
    on_request(one_thread(hello(
        ONE_THREAD,
        Kind::Fresh,
        "hello_wasip2",
        "spawnpoint, as `fresh`, one thread on both cores",
    ))),
    on_request(hello("sdk-fresh", Kind::Fresh, "hello", "spawnpoint, 0.2, as `fresh`, written with the SDK")),
    on_request(hello(
        "component-fresh",
        Kind::Component { reuse: false },
        "hello_wasip2",
        "spawnpoint, as `fresh`, nothing lowered",
    )),
    on_request(hello(
        "component-reuse",
        Kind::Component { reuse: true },
        "hello_wasip2",
        "spawnpoint, as `reuse`, nothing lowered",
    )),
    on_request(classic("classic-reuse", Kind::Reuse, "spawnpoint, 0.2, reused, the 75 KB guest")),
    on_request(hello(
        "wasmtime-reuse",
        Kind::Wasmtime(REUSED),
        "hello_wasip2",
        "wasmtime serve, 0.2, instances reused",
    )),
];

impl Subject {
    /// The peer it needs, if that is not on PATH.
    pub(crate) fn missing(&self) -> Option<&'static str> {
        let peer = match self.kind {
            Kind::Wasmtime(_) => "wasmtime",
            Kind::Workerd => "workerd",
            Kind::Native | Kind::Fresh | Kind::New | Kind::Reuse | Kind::Component { .. } => return None,
        };
        on_path(peer).is_none().then_some(peer)
    }

    pub(crate) fn start(&self, place: &Place) -> Result<Server> {
        let place = &Place { threads: self.threads.unwrap_or(place.threads), ..place.clone() };
        let started = match self.kind {
            Kind::Native => self.native(place),
            Kind::Fresh => self.spawnpoint(place, false, ""),
            Kind::New => self.spawnpoint(place, false, "reset_instances = \"off\""),
            Kind::Reuse => self.spawnpoint(place, true, ""),
            Kind::Component { reuse } => self.spawnpoint(place, reuse, "lower_components = \"off\""),
            Kind::Wasmtime(flags) => {
                let served = wasmtime(place, self.name, flags, &guests::path(self.guest)?);
                served.map(|(child, address)| (child, address, "/".to_owned()))
            }
            Kind::Workerd => self.workerd(place),
        };
        let (child, address, path) = started.with_context(|| format!("`{}` does not start", self.name))?;
        let mut client = crate::client::Client::connect(address)?;
        client.call(&path, self.expected).with_context(|| format!("`{}` answers wrongly", self.name))?;
        let idle = child.memory();
        Ok(Server { subject: *self, child, address, path, expected: self.expected, idle })
    }

    fn log(&self, place: &Place) -> PathBuf {
        place.dir.join(format!("{}.log", self.name))
    }

    fn native(&self, place: &Place) -> Result<(Child, SocketAddr, String)> {
        let native = serde_json::to_string(&Native { threads: place.threads })?;
        let launch = Launch::new(std::env::current_exe()?, &place.cpus).arg("__native").arg(native);
        let mut child = launch.start(self.name, &self.log(place))?;
        let address = child.expect(Duration::from_secs(10), |line| {
            line.strip_prefix("ready native=http://")?.parse().ok()
        })?;
        Ok((child, address, "/".to_owned()))
    }

    fn spawnpoint(&self, place: &Place, reuse: bool, settings: &str) -> Result<(Child, SocketAddr, String)> {
        let wasm = std::fs::read(guests::path(self.guest)?)?;
        // Deployed by one process and served by another, as after any restart: what a compilation leaves in the
        // memory of the first one is not the function's.
        let mut first = Spawnpoint::start(place, self.name, settings)?;
        first.deploy("hello", &wasm, &place.manifest(reuse))?;
        first.optimised(OPTIMISED)?;
        drop(first);
        let server = Spawnpoint::start(place, self.name, settings)?;
        Ok((server.child, server.ingress, path_of("hello")))
    }

    fn workerd(&self, place: &Place) -> Result<(Child, SocketAddr, String)> {
        // It cannot be asked which port it took: one that was free a moment ago has to do.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let (script, config) = (place.dir.join("hello.js"), place.dir.join("workerd.capnp"));
        std::fs::write(script, WORKERD_SCRIPT)?;
        std::fs::write(&config, WORKERD_CONFIG)?;
        let launch = Launch::new(on_path("workerd").context("no workerd")?, &place.cpus)
            .arg("serve")
            .arg(config.to_string_lossy())
            .arg(format!("--socket-addr=http={address}"));
        let child = launch.start(self.name, &self.log(place))?;
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            ensure!(start.elapsed() < Duration::from_secs(10), "no answer: {}", child.last_words());
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok((child, address, "/".to_owned()))
    }
}

/// A `wasmtime serve` whose cache has the component already, and where it answers.
pub(crate) fn wasmtime(
    place: &Place,
    name: &str,
    flags: &[&str],
    guest: &Path,
) -> Result<(Child, SocketAddr)> {
    let cache = place.dir.join("wasmtime-cache");
    let launch = Launch::new(on_path("wasmtime").context("no wasmtime")?, &place.cpus)
        .args(["serve", "--addr", "127.0.0.1:0"])
        .args(flags.iter().copied())
        .arg(guest.to_string_lossy())
        // Its compile cache is on by default; this keeps it out of the user's own.
        .env("XDG_CACHE_HOME", cache.to_string_lossy());
    let start = || -> Result<(Child, SocketAddr)> {
        let mut child = launch.start(name, &place.dir.join(format!("{name}.log")))?;
        // Interpreters take it long.
        let address = child.expect(Duration::from_mins(3), |line| {
            let (_, url) = line.split_once("http://")?;
            url.trim_end_matches('/').parse().ok()
        })?;
        Ok((child, address))
    };
    // The first one compiles and fills the cache.
    drop(start()?);
    start()
}

const WORKERD_SCRIPT: &str = r#"export default {
  fetch() { return new Response("Hello, World!\n", { headers: { "content-type": "text/plain" } }); }
};
"#;
const WORKERD_CONFIG: &str = r#"using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .hello)],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")]
);
const hello :Workerd.Worker = (
  modules = [(name = "hello.js", esModule = embed "hello.js")],
  compatibilityDate = "2025-01-01"
);
"#;

/// The program of that name that a shell would start.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let candidate = |folder: PathBuf| Some(folder.join(program)).filter(|file| runs(file));
    std::env::split_paths(AsRef::<OsStr>::as_ref(&path)).find_map(candidate)
}

fn runs(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    file.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}
