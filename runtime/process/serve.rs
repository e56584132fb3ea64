//! One process that serves: settings, build, spawn, drain, and nothing else.
//! Must never say it is ready before both listeners accept.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::scrape::Scrape;
use super::{heap, machine};
use crate::admin::{self, AdminState, Token};
use crate::catalog::{Catalog, CatalogError};
use crate::deploy::loader::Loader;
use crate::deploy::pipeline::{Deployer, Policy};
use crate::deploy::rest::Rests;
use crate::deploy::table::Table;
use crate::engine::artifact::ArtifactStore;
use crate::engine::compile::Compiler;
use crate::engine::crew::{self, Crew};
use crate::engine::lanes::HeavyLane;
use crate::engine::locate::Locator;
use crate::engine::program::{Engines, LinkError};
use crate::engine::ticker::Ticker;
use crate::host::account::{Accounts, Budget};
use crate::ingress::Face;
use crate::ingress::worker::{self, Hire};
use crate::model::audience::Answered;
use crate::net::listen::{self, HANDOVER, Seat};
use crate::net::shed::Shed;
use crate::settings::{Settings, Threads};
use crate::storage::{Blobs, DataDir, DataDirError, FileError, Storage, StorageError};
use crate::tasks::Rank;
use crate::telemetry::times::{self, Times};
use crate::{faults, settings, tasks, telemetry};

/// A server that accepts.
pub struct Running {
    /// Where tenants' traffic is accepted.
    pub ingress: SocketAddr,
    /// Where operators are.
    pub admin: SocketAddr,
    face: Arc<Face>,
    crew: Crew,
    stop: watch::Sender<bool>,
    /// How the admin listener is stopped, and its end.
    admins: (watch::Sender<bool>, tokio::task::JoinHandle<()>),
    ready: Arc<AtomicBool>,
    open: Vec<Arc<AtomicUsize>>,
    workers: Vec<JoinHandle<()>>,
    heavy: HeavyLane,
    ticker: Arc<Ticker>,
    drain: Duration,
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The machine gives too little to be safe.
    #[error(transparent)]
    Machine(#[from] machine::TooLittle),
    /// The data directory is not ours alone, or cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// A file in it cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// The catalog's file cannot be used.
    #[error("the catalog in `{}` cannot be opened", path.display())]
    Storage {
        /// The data directory.
        path: PathBuf,
        /// Why not.
        #[source]
        source: StorageError,
    },
    /// What is in it cannot be used.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The key of the artifacts cannot be used.
    #[error("the artifact key cannot be used")]
    Key(#[from] crate::engine::artifact::KeyError),
    /// The admin token cannot be used.
    #[error("the admin token cannot be used")]
    Token(#[from] crate::admin::TokenError),
    /// An engine cannot be made.
    #[error(transparent)]
    Engine(#[from] LinkError),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The operating system gives no thread or no event queue.
    #[error("the operating system refused a thread")]
    Thread(#[source] io::Error),
    /// The metrics were installed twice.
    #[error("the metrics cannot be installed")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
}

fn listen_on(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ServeError> {
    let failed = |source| ServeError::Listen { address, source };
    let listener = listen::bind(address).map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// Starts a server on the calling runtime, which becomes its control plane. Returns once both listeners accept.
///
/// # Errors
/// See [`ServeError`]; nothing keeps running then.
pub async fn start(mut settings: Settings) -> Result<Running, ServeError> {
    faults::arm(settings::faults());
    let slots = machine::fit(&mut settings)?;
    let metrics = telemetry::metrics::install()?;
    heap::tend().map_err(ServeError::Thread)?;
    let dir = DataDir::open(&settings.data_dir)?;
    // Bound first: an address that is taken is the commonest mistake, and should cost nothing.
    let (ingress_listener, ingress) = listen_on(settings.listen)?;
    let (admin_listener, admin) = listen_on(settings.admin_listen)?;

    let blobs = Blobs::open(&dir)?;
    let storage = Storage::open(&dir, "catalog").await;
    let storage = storage.map_err(|source| ServeError::Storage { path: dir.path().to_owned(), source })?;
    let catalog = Catalog::open(storage, &settings.server).await?;
    let artifacts = ArtifactStore::open(dir.path())?;
    let token = Token::open(dir.path())?;
    let ticker = Ticker::start(settings.threads.real_time).map_err(ServeError::Thread)?;
    let engines = Engines::new(slots, ticker.clone())?;
    let compiler = Compiler::new(&settings.server, settings.lower_components);
    let times: Arc<[_]> = (0..settings.threads.count).map(|_| Arc::<Times>::default()).collect();
    let answered = times.clone();
    let answered: Answered = Arc::new(move || times::answered(&answered));
    let rests = Rests::of(answered.clone());
    let compiles = settings.server.compiles as usize;
    let children = (compiler, Locator::new(&settings.server), compiles, rests);
    let loader = Loader::new(engines, artifacts, blobs, children, (Handle::current(), settings.first_tier));
    let budget = Budget::new(settings.server.memory_bytes);
    let accounts = Accounts::new(std::mem::take(&mut settings.quotas), budget);
    let table = Arc::new(Table::new(accounts));
    let base = settings.base_domain.clone();
    let face = Face::new(table.clone(), loader.clone(), settings.server, base);

    watch_threads(&ticker, &table);
    let new_memory = (answered, settings.server.new_memory_bytes_per_second);
    let heavy = HeavyLane::start(settings.threads.count, &ticker, &Handle::current(), new_memory)
        .map_err(ServeError::Thread)?;
    let hired = hire(&face, &ticker, (settings.threads, &heavy, &times)).map_err(ServeError::Thread)?;
    let scrape = Scrape { counted: metrics, table: table.clone(), times };
    let crew = Crew::new(hired.orders);
    let Settings { defaults, ceiling, server, breaker, server_timing, .. } = settings;
    let policy = Policy { defaults, ceiling, server, breaker, server_timing };
    let plane = (loader, table);
    let deployer = Deployer::new(catalog, plane, crew.clone(), heavy.clone(), policy);
    deployer.restore().await?;

    let (stop, stopped) = watch::channel(false);
    let ready = Arc::new(AtomicBool::new(true));
    let connections = settings.server.connections as usize;
    let open = hired.seats.iter().map(|seat| seat.open.clone()).collect();
    let accepting = listen::accept(ingress_listener, hired.seats, connections, stopped.clone());
    accept_on_a_thread(accepting).map_err(ServeError::Thread)?;
    let state = AdminState {
        deployer: deployer.clone(),
        token,
        addresses: admin::Addresses::new(ingress, &settings.base_domain, settings.base_domain_is_set),
        metrics: Arc::new(move || scrape.text()),
        ready: ready.clone(),
    };
    // Operators are answered until the ingress is empty: a draining server says that it is not ready.
    let (stop_admin, admin_stopped) = watch::channel(false);
    let serving = admin::serve(admin_listener, admin::router(state), admin_stopped);
    let administering = tasks::detached(async move {
        if let Err(error) = serving.await {
            tracing::error!(%error, "the admin listener accepts no more");
        }
    });
    tasks::detached(housekeeping(deployer.clone()));
    tasks::detached(deployer.optimise());
    write_address(dir.path(), admin);
    let drain = Duration::from_millis(settings.server.drain_ms);
    let workers = hired.workers;
    let admins = (stop_admin, administering);
    Ok(Running { ingress, admin, face, crew, stop, admins, ready, open, workers, heavy, ticker, drain })
}

/// On a thread of its own: those of the control plane come after the ones that answer.
fn accept_on_a_thread(accepting: impl Future<Output = io::Result<()>> + Send + 'static) -> io::Result<()> {
    let acceptor = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let accept = move || {
        tasks::take(Rank::Answers);
        if let Err(error) = acceptor.block_on(accepting) {
            tracing::error!(%error, "the ingress accepts no more");
        }
    };
    tasks::thread("accept", accept).map(drop)
}

/// Tells the command line where this server is; without it a newcomer would have to say.
fn write_address(dir: &std::path::Path, admin: SocketAddr) {
    if let Err(error) = std::fs::write(dir.join("admin-address"), format!("http://{admin}\n")) {
        tracing::warn!(%error, "the command line will not find this server by itself");
    }
}

/// Says which function a thread is stuck in. Told by the epoch thread, which no guest and no runtime can hold up.
fn watch_threads(ticker: &Ticker, table: &Arc<Table>) {
    let table = table.clone();
    ticker.on_stuck(move |program, ticks| {
        metrics::counter!("spawnpoint_threads_stuck_total").increment(1);
        let routes = table.now();
        if let Some((tenant, function)) = program.and_then(|program| routes.owner(program)) {
            tracing::error!(%tenant, %function, ticks, "a thread does not come back from a guest");
        } else {
            tracing::error!(ticks, "a thread does not come back from clearing away a guest");
        }
    });
}

struct Hired {
    seats: Vec<Seat>,
    orders: Vec<mpsc::Sender<crew::Order>>,
    workers: Vec<JoinHandle<()>>,
}

/// Where each thread of the data plane stays. Fewer of them than cores are anywhere: other processes may have as few.
fn cores_for(Threads { count, pinned, .. }: Threads) -> Vec<Option<usize>> {
    let cores = tasks::cores();
    let own = pinned && cores.len() == count;
    if own { cores.into_iter().map(Some).collect() } else { vec![None; count] }
}

fn hire(
    face: &Arc<Face>,
    ticker: &Arc<Ticker>,
    (threads, heavy, times): (Threads, &HeavyLane, &[Arc<Times>]),
) -> io::Result<Hired> {
    let mut hired = Hired { seats: vec![], orders: vec![], workers: vec![] };
    let mut node = [0; 4];
    getrandom::fill(&mut node).map_err(io::Error::other)?;
    let cores = cores_for(threads);
    for (index, (core, times)) in cores.iter().zip(times).enumerate() {
        let (sender, arrivals) = mpsc::channel(HANDOVER);
        let (orders, ordered) = mpsc::channel(crew::QUEUE);
        let shed = Arc::new(Shed::new(listen::spare(face.limits.connections as usize)));
        hired.workers.push(worker::start(Hire {
            face: face.clone(),
            ticker: ticker.clone(),
            heavy: heavy.clone(),
            arrivals,
            shed: shed.clone(),
            orders: ordered,
            times: times.clone(),
            node: u32::from_le_bytes(node),
            index: (index, cores.len()),
            core: *core,
        })?);
        hired.seats.push(Seat { sender, open: Arc::default(), shed });
        hired.orders.push(orders);
    }
    Ok(hired)
}

/// What the control plane does unasked.
async fn housekeeping(deployer: Arc<Deployer>) {
    deployer.sweep_all().await;
    let mut second = tokio::time::interval(Duration::from_secs(1));
    loop {
        second.tick().await;
        deployer.settle().await;
        deployer.sweep_left_over().await;
    }
}

impl Running {
    /// Refuses what is new, finishes what runs, and ends, within the drain time.
    pub async fn stop(self) {
        self.ready.store(false, Ordering::SeqCst);
        self.face.drain();
        // Whoever sends this has nobody left to tell when the receivers are gone.
        let _ = self.stop.send(true);
        self.crew.drain().await;
        let deadline = Instant::now() + self.drain;
        let open = || self.open.iter().map(|open| open.load(Ordering::Relaxed)).sum::<usize>();
        while open() > 0 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let cut = open();
        if cut > 0 {
            tracing::warn!(connections = cut, "cut off at the end of the drain");
        }
        let (stop_admin, administering) = self.admins;
        let _ = stop_admin.send(true);
        // A deploy in progress gets what is left of the time, and a moment to be answered.
        let deadline = deadline.max(Instant::now() + Duration::from_millis(500));
        let _ = tokio::time::timeout_at(deadline, administering).await;
        // The threads end when nobody can order them about any more; what they still run ends with them.
        drop(self.crew);
        self.heavy.stop();
        self.ticker.stop();
        drop(self.workers);
    }
}
