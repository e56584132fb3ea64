//! Child processes: pinned to cores, free of what would falsify a measurement, and never left behind.
//! Must never signal a process that this harness did not start.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, setrlimit};
use rustix::thread::CpuSet;
use serde::{Deserialize, Serialize};
use thread_priority::{
    NormalThreadSchedulePolicy, RealtimeThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};

/// What a child runs: handed to this program itself, which prepares the process and then becomes the other one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Launch {
    /// What to run.
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<String>,
    /// Where it may run; nowhere in particular when empty.
    pub(crate) cpus: Vec<usize>,
    /// Environment on top of this process's own.
    pub(crate) env: Vec<(String, String)>,
}

/// A running child; ends with this value.
pub(crate) struct Child {
    process: process::Child,
    log: PathBuf,
    started: Instant,
    name: String,
}

/// What a server has used so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    pub(crate) now_kib: u64,
    pub(crate) peak_kib: u64,
}

/// The children that live, for the one who handles Ctrl-C.
static LIVE: Mutex<Vec<u32>> = Mutex::new(Vec::new());
/// What a server has to end by itself.
const GRACE: Duration = Duration::from_secs(3);
/// Linux tells times in hundredths of a second to every program, whatever its own clock does.
pub(crate) const TICKS_PER_SECOND: f64 = 100.0;

impl Launch {
    pub(crate) fn new(program: impl Into<PathBuf>, cpus: &[usize]) -> Self {
        Self { program: program.into(), args: vec![], cpus: cpus.to_vec(), env: vec![] }
    }

    pub(crate) fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    pub(crate) fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    /// Starts it with both outputs in `log`.
    pub(crate) fn start(&self, name: &str, log: &Path) -> Result<Child> {
        let file = File::create(log)?;
        let process = self.command()?.stdout(file.try_clone()?).stderr(file).spawn()?;
        live().push(process.id());
        let started = Instant::now();
        Ok(Child { process, log: log.to_owned(), started, name: name.to_owned() })
    }

    fn command(&self) -> Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("__exec").arg(serde_json::to_string(self)?).stdin(Stdio::null());
        Ok(command)
    }

    /// Becomes the program; returns only when that fails.
    pub(crate) fn become_it(&self) -> Result<()> {
        // Even a harness that is killed leaves nothing behind.
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        pin(&self.cpus);
        raise_descriptors();
        let mut command = Command::new(&self.program);
        command.args(&self.args).envs(self.env.iter().map(|(name, value)| (name, value)));
        // With it, wasmtime takes a native backtrace at each trap and the peers at each error.
        command.env_remove("RUST_BACKTRACE").env_remove("RUST_LIB_BACKTRACE");
        let error = command.exec();
        Err(error).with_context(|| format!("`{}` does not start", self.program.display()))
    }
}

impl Child {
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// Waits for a line of output of which `pick` makes something.
    pub(crate) fn expect<T>(&mut self, limit: Duration, pick: impl Fn(&str) -> Option<T>) -> Result<T> {
        while self.started.elapsed() < limit {
            let text = fs::read_to_string(&self.log)?;
            // The last line may not be whole yet.
            let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
            if let Some(found) = whole.lines().find_map(&pick) {
                return Ok(found);
            }
            if let Some(status) = self.process.try_wait()? {
                bail!("{} ended at its start, {status}: {}", self.name, self.last_words());
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        Err(anyhow!("{} was not ready within {limit:?}: {}", self.name, self.last_words()))
    }

    /// The end of what it printed.
    pub(crate) fn last_words(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let end = text.len().saturating_sub(600);
        String::from_utf8_lossy(&text[end..]).trim().replace('\n', " / ")
    }

    /// Waits for it to end, or ends it.
    pub(crate) fn finish(mut self, limit: Duration) -> Result<String> {
        let status = self.wait(limit)?;
        let text = fs::read_to_string(&self.log)?;
        match status {
            Some(status) if status.success() => Ok(text),
            Some(status) => bail!("{} failed, {status}: {}", self.name, self.last_words()),
            None => bail!("{} did not end within {limit:?}", self.name),
        }
    }

    fn wait(&mut self, limit: Duration) -> io::Result<Option<process::ExitStatus>> {
        let start = Instant::now();
        while start.elapsed() < limit {
            if let Some(status) = self.process.try_wait()? {
                return Ok(Some(status));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(None)
    }

    /// Memory of the process itself.
    pub(crate) fn memory(&self) -> Memory {
        let text = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let kib = |key: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_suffix("kB"));
            value.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
        };
        Memory { now_kib: kib("VmRSS:"), peak_kib: kib("VmHWM:") }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let id = self.process.id();
        let pid = i32::try_from(id).ok().and_then(Pid::from_raw);
        if let (Ok(None), Some(pid)) = (self.process.try_wait(), pid) {
            let _ = rustix::process::kill_process(pid, Signal::TERM);
            if !matches!(self.wait(GRACE), Ok(Some(_))) {
                let _ = self.process.kill();
                let _ = self.process.wait();
            }
        }
        live().retain(|live| *live != id);
    }
}

fn live() -> std::sync::MutexGuard<'static, Vec<u32>> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Somebody pressed Ctrl-C: ends every child and then this process, after `last`.
pub(crate) fn end_all(last: impl FnOnce()) -> ! {
    // Held to the end: whoever waits for a child would otherwise report its end as a failure, and exit first.
    let mut live = live();
    for pid in live.drain(..).filter_map(|id| Pid::from_raw(i32::try_from(id).ok()?)) {
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
    last();
    process::exit(130)
}

/// The cores this process may use.
pub(crate) fn cores() -> Vec<usize> {
    let set = rustix::thread::sched_getaffinity(None).unwrap_or_default();
    (0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect()
}

/// Confines the calling thread, and what it starts, to these cores.
pub(crate) fn pin(cpus: &[usize]) {
    if cpus.is_empty() {
        return;
    }
    let mut set = CpuSet::new();
    for cpu in cpus {
        set.set(*cpu);
    }
    if let Err(error) = rustix::thread::sched_setaffinity(None, &set) {
        // Figures of such a run say nothing about one core.
        say!("NOT PINNED to {cpus:?}: {error}");
    }
}

/// Has the calling thread go before everybody of a lower such priority, and before all who have none. Whether that is allowed.
pub(crate) fn real_time(priority: u8) -> bool {
    let Ok(priority) = priority.try_into() else { return false };
    let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Crossplatform(priority), policy)
        .is_ok()
}

/// Has the calling thread go when nobody else wants to. Whether that is allowed.
pub(crate) fn idle() -> bool {
    let policy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, policy).is_ok()
}

/// Thousands of connections need it, at either end; servers that do it themselves are no better off.
fn raise_descriptors() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        say!("the limit of file descriptors stays as it is: {error}");
    }
}

/// CPU seconds of a process and all that descend from it, ended ones included.
pub(crate) fn cpu_seconds(root: u32) -> f64 {
    seconds(related(root).iter().map(|(.., ticks)| ticks).sum())
}

/// CPU seconds of this process, without its children.
pub(crate) fn own_cpu_seconds() -> f64 {
    seconds(fields("self").and_then(|(_, fields)| Ok(ticks(&fields, 11)? + ticks(&fields, 12)?)).unwrap_or(0))
}

/// A process and all that descend from it.
pub(crate) fn family(root: u32) -> Vec<u32> {
    related(root).into_iter().map(|(pid, ..)| pid).collect()
}

/// Whether this is a server's child that compiles, and not another process that got its number.
pub(crate) fn compiles(pid: u32) -> bool {
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with(b"spawnpoint\0__compile\0"))
}

/// Ends a process that descends from one that this harness has started.
pub(crate) fn end(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
}

fn seconds(ticks: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 ticks")]
    let ticks = ticks as f64;
    ticks / TICKS_PER_SECOND
}

fn related(root: u32) -> Vec<(u32, u32, u64)> {
    let mut family = vec![root];
    let all: Vec<(u32, u32, u64)> = processes().filter_map(|pid| stat(pid).ok()).collect();
    // Parents are mostly older than their children, but numbers wrap: repeat until nobody joins.
    loop {
        let before = family.len();
        for (pid, parent, _) in &all {
            if family.contains(parent) && !family.contains(pid) {
                family.push(*pid);
            }
        }
        if family.len() == before {
            break;
        }
    }
    all.into_iter().filter(|(pid, ..)| family.contains(pid)).collect()
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Number, parent and ticks of a process: its own, and those of children it has waited for.
fn stat(pid: u32) -> Result<(u32, u32, u64)> {
    let (parent, fields) = fields(&pid.to_string())?;
    let all = (11..15).map(|index| ticks(&fields, index)).sum::<Result<u64>>()?;
    Ok((pid, parent, all))
}

/// The parent of a process, and what is said of it behind its name.
fn fields(pid: &str) -> Result<(u32, Vec<String>)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name is in parentheses and may hold anything.
    let (_, rest) = text.rsplit_once(") ").context("no name")?;
    let fields: Vec<String> = rest.split(' ').map(str::to_owned).collect();
    Ok((fields.get(1).context("short")?.parse()?, fields))
}

fn ticks(fields: &[String], index: usize) -> Result<u64> {
    Ok(fields.get(index).context("short")?.parse()?)
}
