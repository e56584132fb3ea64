//! Compiles uploads in short-lived children of the same binary, under limits, and says which engine the result fits.
//! Must never compile or parse an upload in this process, and must give the child no key, no folder and nothing of this
//! process's environment.

mod child;
mod converse;
mod frame;
mod hash;
mod patience;
mod start;
#[cfg(test)]
pub(in crate::engine) mod tests;
mod traps;

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};
use tokio::sync::{Semaphore, watch};

pub(in crate::engine) use child::read_upload;
pub use child::{ChildLimits, SUBCOMMAND, Way, child_main};
pub use frame::Facts;
pub use hash::{EngineHash, EngineHashError, engine_hash};
pub(in crate::engine) use start::start;

use crate::engine::componentize::Code;
use crate::faults;
use crate::model::limits::ServerLimits;
use crate::model::version::{Profile, Tier};
use crate::tasks::{self, Rank};
use converse::{converse, judge};
use patience::{bury, patience};

/// Starts compiling children, a bounded number at once.
#[derive(Clone, Debug)]
pub struct Compiler {
    exe: PathBuf,
    arguments: Vec<OsString>,
    wall: Duration,
    /// Whether components are lowered where that can be done.
    lowers: bool,
    permits: Arc<Semaphore>,
    /// How many of those there are, and cores for all.
    compiles: usize,
    cores: usize,
    /// Compilations that somebody waits for, those that wait for a permit included.
    urgent: Arc<watch::Sender<usize>>,
    /// Places of children that run only when nobody else wants to.
    left_over: Arc<Semaphore>,
}

/// What is to be compiled.
#[derive(Debug)]
pub enum Wasm {
    /// From memory.
    Bytes(Bytes),
    /// From a file that stands at its start; the child reads it itself.
    File(std::fs::File),
}

impl Wasm {
    /// The same, read into memory if it is no longer than that.
    async fn in_memory_if(self, most: u64) -> io::Result<Self> {
        match self {
            Self::File(file) if file.metadata()?.len() <= most => {
                let mut bytes = Vec::new();
                tokio::fs::File::from_std(file).take(most).read_to_end(&mut bytes).await?;
                Ok(Self::Bytes(bytes.into()))
            }
            other => Ok(other),
        }
    }
}

/// How one upload is compiled.
#[derive(Clone, Copy)]
struct How<'a> {
    /// What its child is told besides.
    more: &'a [&'a str],
    threads: usize,
    /// What it may take.
    wall: Duration,
}

/// A component, compiled.
#[derive(Debug)]
pub struct Compiled {
    /// What it is and how long it took.
    pub facts: Facts,
    /// The artifact, for [`super::artifact::ArtifactStore::put`].
    pub artifact: Vec<u8>,
}

/// Which bound of a compilation was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompileLimit {
    /// Address space, or the machine's memory.
    Memory,
    /// CPU time.
    Cpu,
    /// Wall-clock time.
    Wall,
    /// The size of the artifact.
    Artifact,
    /// The compiler's stack, or another fault that ended it.
    Crash,
}

impl fmt::Display for CompileLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "it needs more memory than a compilation may have",
            Self::Cpu => "it needs more CPU time than a compilation may have",
            Self::Wall => "it takes longer than a compilation may take",
            Self::Artifact => "its machine code is larger than an artifact may be",
            Self::Crash => "it ended the compiler",
        })
    }
}

/// Why there is no artifact.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The upload was refused.
    #[error("{message}")]
    Refused {
        /// The refusal's stable name.
        code: Code,
        /// Found this; what works is that.
        message: String,
        /// The end of what the child wrote, for the log alone.
        log: String,
    },
    /// The upload is too expensive to compile.
    #[error("this component cannot be compiled: {which}")]
    Limit {
        /// Which bound was met.
        which: CompileLimit,
        /// The end of what the child wrote, for the log alone.
        log: String,
    },
    /// The machine or this program is at fault.
    #[error("the compiler did not work: {what}")]
    Host {
        /// What went wrong.
        what: &'static str,
        /// The end of what the child wrote, for the log alone.
        log: String,
        /// The system's error, if there was one.
        #[source]
        source: Option<io::Error>,
    },
}

impl CompileError {
    /// The stable name of this error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused { code, .. } => code.as_str(),
            Self::Limit { .. } => "compile_limit",
            Self::Host { .. } => "host_error",
        }
    }

    /// What the child wrote last, for the log.
    #[must_use]
    pub fn log(&self) -> &str {
        match self {
            Self::Refused { log, .. } | Self::Limit { log, .. } | Self::Host { log, .. } => log,
        }
    }

    fn host(what: &'static str, source: io::Error) -> Self {
        Self::Host { what, log: String::new(), source: Some(source) }
    }
}

/// How much longer that may take: on a machine without idle time it hardly runs. Its CPU time is bounded as any other's.
const LONGER: u32 = 10;
/// Tells a child how many threads to compile with; what compiles reads it by itself.
const THREADS: &str = "RAYON_NUM_THREADS";
/// Has a child compile quickly.
pub const FAST: &str = "--fast";
/// Bytes of an upload up to which it is tried with what nobody else wants of the cores: what takes long would lose much.
const LEFT_OVER_BYTES: u64 = 4 << 20;
/// Has a child run only when nobody else wants to.
const IDLE: &str = "--idle";
/// Has a child lower nothing.
pub const AS_COMPONENTS: &str = "--as-components";
/// How long an optimisation steps aside for compilations that somebody waits for. Who keeps the compiler busy must not
/// keep everybody's functions slow.
const STEP_ASIDE: Duration = Duration::from_secs(20);

/// Bytes of a child's messages that are kept, from the end.
const LOG_BYTES: usize = 4 << 10;

impl Compiler {
    /// A compiler that keeps to these limits.
    ///
    /// The children run `/proc/self/exe`: the very file that this process runs, also when a new release has taken its
    /// path meanwhile, so that both agree on what an artifact is.
    #[must_use]
    pub fn new(limits: &ServerLimits, lowers: bool) -> Self {
        Self {
            lowers,
            exe: PathBuf::from("/proc/self/exe"),
            arguments: ChildLimits {
                memory_bytes: limits.compile_memory_bytes,
                cpu_seconds: limits.compile_cpu_s,
                nice: Rank::TakesLong.nice(),
                idle: false,
                parent: std::process::id(),
            }
            .arguments_of(SUBCOMMAND),
            wall: Duration::from_millis(limits.compile_wall_ms),
            permits: Arc::new(Semaphore::new(limits.compiles.max(1) as usize)),
            compiles: limits.compiles.max(1) as usize,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            urgent: Arc::default(),
            left_over: Arc::new(Semaphore::new(limits.compiles.max(1) as usize)),
        }
    }

    /// The engine that artifacts of this profile fit.
    ///
    /// # Errors
    /// wasmtime's own, when it refuses the configuration.
    pub fn engine_hash(&self, profile: Profile) -> wasmtime::Result<EngineHash> {
        engine_hash(profile, self.lowers)
    }

    /// Componentizes and compiles an upload in a child, for somebody who waits. Dropping the future kills the child.
    ///
    /// # Errors
    /// That the upload is no good, that it is too expensive, or that this machine failed.
    pub async fn compile(&self, wasm: Wasm, tier: Tier) -> Result<Compiled, CompileError> {
        let _urgent = Urgent::begin(&self.urgent);
        let _permit = self.permits.acquire().await.map_err(|_| CompileError::Host {
            what: "it is shutting down",
            log: String::new(),
            source: None,
        })?;
        let more = (tier == Tier::Fast).then_some(FAST);
        // More threads than cores would only take turns with each other, and with those that answer calls. One that is alone
        // has all cores, and keeps them when another comes.
        let others = self.compiles.saturating_sub(self.permits.available_permits()).max(1);
        let threads = self.cores.div_ceil(others);
        self.run_aside(wasm, How { more: more.as_slice(), threads, wall: self.wall }).await
    }

    /// As [`Compiler::compile`], for speed, and for nobody who waits: begins when nobody does, takes no permit from those
    /// who will, and steps back behind their children. To be called for one upload at a time.
    ///
    /// # Errors
    /// As [`Compiler::compile`].
    pub async fn optimise(&self, wasm: Wasm) -> Result<Compiled, CompileError> {
        let mut urgent = self.urgent.subscribe();
        // Whichever of the two ends the wait: it is time.
        let _ = tokio::time::timeout(STEP_ASIDE, urgent.wait_for(|waiting| *waiting == 0)).await;
        faults::at("optimise.spawn").map_err(|e| CompileError::host("its child could not be started", e))?;
        // Behind other children, too.
        let (more, threads) = (["--nice", &Rank::Last.nice().to_string()], self.cores.div_ceil(2));
        // Who comes meanwhile has a part of the cores from the start, and so comes before this one.
        let places = u32::try_from(self.compiles).unwrap_or(u32::MAX);
        let _places = self.left_over.try_acquire_many(places);
        self.run(wasm, How { more: &more, threads, wall: self.wall * LONGER }).await
    }

    /// A small upload for a moment with what nobody else wants of the cores. Then, or else, with a part of them.
    async fn run_aside(&self, wasm: Wasm, how: How<'_>) -> Result<Compiled, CompileError> {
        let unreadable = |e| CompileError::host("its upload could not be read", e);
        let wasm = wasm.in_memory_if(LEFT_OVER_BYTES).await.map_err(unreadable)?;
        if let (Wasm::Bytes(bytes), Ok(place)) = (&wasm, self.left_over.clone().try_acquire_owned()) {
            let left_over = [how.more, &[IDLE]].concat();
            let left_over = How { more: &left_over, ..how };
            let (mut child, bytes) = self.started(Wasm::Bytes(bytes.clone()), left_over).await?;
            // Until it has made itself idle, it is loaded and linked.
            tasks::push_back(child.id());
            let patience = patience(child.id());
            tokio::select! {
                biased;
                ended = tokio::time::timeout(how.wall, converse(&mut child, bytes)) => return judge(child, ended).await,
                () = patience => bury(child, place).await,
            }
        }
        self.run(wasm, how).await
    }

    async fn run(&self, wasm: Wasm, how: How<'_>) -> Result<Compiled, CompileError> {
        let (mut child, bytes) = self.started(wasm, how).await?;
        let ended = tokio::time::timeout(how.wall, converse(&mut child, bytes)).await;
        judge(child, ended).await
    }

    async fn started(&self, wasm: Wasm, how: How<'_>) -> Result<(Child, Bytes), CompileError> {
        let slow =
            |_| CompileError::host("its child could not be started in time", io::ErrorKind::TimedOut.into());
        tokio::time::timeout(how.wall, self.spawn(wasm, how)).await.map_err(slow)?
    }

    async fn spawn(
        &self,
        wasm: Wasm,
        How { more, threads, .. }: How<'_>,
    ) -> Result<(Child, Bytes), CompileError> {
        let not_started = |e| CompileError::host("its child could not be started", e);
        let (stdin, bytes) = match wasm {
            Wasm::Bytes(bytes) => (Stdio::piped(), bytes),
            Wasm::File(file) => (Stdio::from(file), Bytes::new()),
        };
        faults::at("compile.spawn").map_err(not_started)?;
        let mut command = command(&self.exe, &self.arguments, stdin);
        command.args((!self.lowers).then_some(AS_COMPONENTS)).args(more).env(THREADS, threads.to_string());
        Ok((start(command).await.map_err(not_started)?, bytes))
    }
}

/// Counts one compilation that somebody waits for, until it is dropped.
struct Urgent<'a>(&'a watch::Sender<usize>);

impl<'a> Urgent<'a> {
    fn begin(all: &'a watch::Sender<usize>) -> Self {
        all.send_modify(|waiting| *waiting += 1);
        Self(all)
    }
}

impl Drop for Urgent<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|waiting| *waiting -= 1);
    }
}

/// A child that is to read hostile bytes: it has nothing of ours, and goes when nobody waits for it.
pub(in crate::engine) fn command(exe: &Path, arguments: &[OsString], stdin: Stdio) -> Command {
    let mut command = Command::new(exe);
    command
        .arg0("spawnpoint")
        .args(arguments)
        .env_clear()
        .current_dir("/")
        // A terminal's Ctrl-C is for the server, which drains; it kills what it no longer wants.
        .process_group(0)
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}
