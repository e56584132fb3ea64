//! The child's side of a compilation: limits itself, reads an upload, writes one frame.
//! Must never open a file of ours or trust that its parent limited it: the upload is hostile and so is what it does here.

use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

use rustix::process::{
    Resource, Rlimit, Signal, getppid, getpriority_process, getrlimit, set_parent_process_death_signal,
    setpriority_process, setrlimit,
};

use wasmtime::Engine;

use super::engine_hash;
use super::frame::{self, ARTIFACT_BYTES, Facts, Header, milliseconds};
use super::traps;
use crate::engine::componentize::sniff::{TEXT, bounded};
use crate::engine::componentize::{Code, Refused, componentize};
use crate::engine::lower::{self, Lowered};
use crate::engine::profile::{self, Purpose};
use crate::engine::reset::{Resettable, resettable};
use crate::model::version::{Profile, Tier};
use crate::tasks;

/// The hidden subcommand that calls [`child_main`].
pub const SUBCOMMAND: &str = "__compile";
/// Bytes of the largest upload a child reads. The admin side bounds uploads tighter; this bounds the child.
const INPUT_BYTES: u64 = 512 << 20;
/// What a child limits itself to: `COMMAND --memory-bytes N --cpu-seconds N --nice N --parent PID`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChildLimits {
    /// Address space.
    pub memory_bytes: u64,
    /// CPU time of all its threads.
    pub cpu_seconds: u64,
    /// How much it steps back behind the threads that serve.
    pub nice: i32,
    /// Whether it runs only when nobody else wants to.
    pub idle: bool,
    /// The process that started it, without which it has nothing to do.
    pub parent: u32,
}

/// How a child compiles.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// How thoroughly.
    pub tier: Tier,
    /// Whether it lowers what can be lowered.
    pub lowers: bool,
}

impl ChildLimits {
    /// The command line that asks for these.
    #[must_use]
    pub fn arguments_of(&self, command: &str) -> Vec<OsString> {
        vec![
            command.into(),
            "--memory-bytes".into(),
            self.memory_bytes.to_string().into(),
            "--cpu-seconds".into(),
            self.cpu_seconds.to_string().into(),
            "--nice".into(),
            self.nice.to_string().into(),
            "--parent".into(),
            self.parent.to_string().into(),
        ]
    }

    /// Puts them in force. No limit on processes: it counts all of a user's threads, the server's among them.
    ///
    /// # Errors
    /// The system's; then nothing must be read.
    pub(in crate::engine) fn enforce(self) -> io::Result<()> {
        // When the machine or the container runs out of memory, this process is to go and not the one that serves.
        // Nothing but that kindness is lost where /proc is not writable.
        let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
        match getpriority_process(None) {
            _ if self.idle => tasks::run_when_idle(),
            Ok(already) if already == self.nice => {}
            // Back up from where it was started, if the server itself has gone up. Else it may not be let.
            Ok(already) if already > self.nice => drop(setpriority_process(None, self.nice)),
            _ => setpriority_process(None, self.nice)?,
        }
        // A server that is killed leaves nothing behind that goes on computing. It is started by a thread that lives as
        // long as the server does.
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // One that was killed before that sends no signal any more.
        if getppid().map(|pid| pid.as_raw_nonzero().get().cast_unsigned()) != Some(self.parent) {
            return Err(io::Error::other("the server is gone"));
        }
        lower(Resource::Core, 0, 0)?;
        lower(Resource::Fsize, 0, 0)?;
        lower(Resource::Nofile, 32, 32)?;
        // The soft limit is SIGXCPU, which the parent can tell apart; the hard one kills.
        let cpu = self.cpu_seconds.max(1);
        lower(Resource::Cpu, cpu, cpu.saturating_add(1))?;
        lower(Resource::As, self.memory_bytes, self.memory_bytes)
    }
}

/// Sets a limit, unless what is in force already is lower.
fn lower(resource: Resource, soft: u64, hard: u64) -> io::Result<()> {
    let now = getrlimit(resource);
    let least = |limit: Option<u64>, wanted: u64| Some(limit.map_or(wanted, |l| l.min(wanted)));
    let maximum = least(now.maximum, hard);
    let current = least(maximum, soft);
    setrlimit(resource, Rlimit { current, maximum })?;
    Ok(())
}

/// Reads an upload from stdin and writes one frame to stdout. The whole work of a child.
#[must_use]
pub fn child_main(limits: ChildLimits, way: Way) -> ExitCode {
    match run(limits, way) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The parent keeps the end of this for its log.
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(limits: ChildLimits, way: Way) -> io::Result<()> {
    limits.enforce()?;
    let wasm = read_upload()?;
    let (header, artifact) = guarded(&wasm, way)?;
    frame::write(io::stdout().lock(), &header, &artifact)
}

/// The upload on stdin.
///
/// # Errors
/// The pipe's or the file's, or that it is longer than any upload.
pub(in crate::engine) fn read_upload() -> io::Result<Vec<u8>> {
    let mut wasm = Vec::new();
    io::stdin().lock().take(INPUT_BYTES + 1).read_to_end(&mut wasm)?;
    if wasm.len() as u64 > INPUT_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the upload is too large"));
    }
    Ok(wasm)
}

/// Compiles; a panic of the tools on strange bytes is a refusal too, its message is on stderr.
pub(super) fn guarded(wasm: &[u8], way: Way) -> io::Result<(Header, Vec<u8>)> {
    catch_unwind(AssertUnwindSafe(|| compile(wasm, way))).or_else(|payload| {
        // rayon panics where it gets no threads: the limit or the machine is too small for any upload.
        let text = payload.downcast_ref::<String>().map_or("", String::as_str);
        if text.contains("thread pool") {
            return Err(io::Error::other("the compiler's threads cannot be started"));
        }
        let message = "found a component on which the compiler fails; this is worth a report";
        let header = Header::Refused { code: Code::CompileFailed, message: message.to_owned() };
        Ok((header, Vec::new()))
    })
}

fn compile(wasm: &[u8], way: Way) -> (Header, Vec<u8>) {
    let start = Instant::now();
    let found = match componentize(wasm) {
        Ok(found) => found,
        Err(refused) => return (refusal(&refused), Vec::new()),
    };
    let componentized = start.elapsed();
    let purpose = match way.tier {
        Tier::Fast => Purpose::Draft,
        Tier::Speed => Purpose::Compile,
    };
    let (lowered, stays) = if way.lowers { lowered(&found.component) } else { (None, None) };
    let compiled = profile::engine(found.profile, purpose).and_then(|engine| {
        // Of the one that serves, whatever the tier.
        let hash = engine_hash(found.profile, way.lowers)?;
        Ok((hash, artifact(&engine, lowered, (&found.component, found.profile))?))
    });
    let (engine_hash, mut artifact) = match compiled {
        Ok(compiled) => compiled,
        Err(error) => return (failure(&error), Vec::new()),
    };
    traps::ease(&mut artifact);
    if artifact.len() as u64 > ARTIFACT_BYTES {
        return (Header::ArtifactTooLarge, Vec::new());
    }
    let facts = Facts {
        handler: found.handler,
        profile: found.profile,
        source: found.source,
        engine_hash,
        componentize_ms: milliseconds(componentized),
        compile_ms: milliseconds(start.elapsed().saturating_sub(componentized)),
        artifact_bytes: artifact.len() as u64,
        stays,
    };
    (Header::Compiled(facts), artifact)
}

/// A component as one module, or why it stays one. Nothing that goes wrong here is a reason to refuse it.
fn lowered(component: &[u8]) -> (Option<Lowered>, Option<String>) {
    match catch_unwind(AssertUnwindSafe(|| lower::lower(component))) {
        Ok(Ok(lowered)) => (Some(lowered), None),
        // It may hold names that the upload chose.
        Ok(Err(why)) => (None, Some(bounded(&why.to_string(), TEXT))),
        Err(_) => (None, Some("its lowering fails; this is worth a report".to_owned())),
    }
}

fn artifact(
    engine: &Engine,
    lowered: Option<Lowered>,
    (component, profile): (&[u8], Profile),
) -> wasmtime::Result<Vec<u8>> {
    let compile = |lowered: Lowered| Some((engine.precompile_module(&lowered.module).ok()?, lowered.moves));
    let (mut artifact, moves) = if let Some(compiled) = lowered.and_then(compile) {
        compiled
    } else if let Ok(Resettable { component, moves }) = resettable(component, profile) {
        (engine.precompile_component(&component)?, moves)
    } else {
        // What cannot be put back is compiled as it is, and answers with new instances.
        return engine.precompile_component(component);
    };
    artifact.extend(moves.trailer());
    Ok(artifact)
}

fn refusal(refused: &Refused) -> Header {
    Header::Refused { code: refused.code(), message: refused.to_string() }
}

/// wasmtime refuses a valid component where it meets a limit of its own.
fn failure(error: &wasmtime::Error) -> Header {
    let out_of_memory = error.chain().any(|cause| {
        cause.is::<wasmtime::OutOfMemory>() || cause.downcast_ref() == Some(&rustix::io::Errno::NOMEM)
    });
    if out_of_memory {
        return Header::OutOfMemory;
    }
    Header::Refused {
        code: Code::CompileFailed,
        message: format!(
            "found a component that cannot be compiled: {}",
            bounded(&format!("{error:#}"), TEXT)
        ),
    }
}
