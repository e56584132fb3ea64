//! What one instance costs, in this process and without a socket: instantiate, answer, reuse, trap, load.
//! Must never touch the serving path's own code: it calls what the data plane calls, in the same order.
//!
//! Guests are those of the samples and of `tests/guests`; the first run builds them.

use std::hint::black_box;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use bytes::Bytes;
use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, Criterion, Throughput};
use http::Request;
use http_body::Body as _;
use http_body_util::{BodyExt as _, Empty};
use spawnpoint::engine::artifact::{ArtifactId, ArtifactStore};
use spawnpoint::engine::compile::EngineHash;
use spawnpoint::engine::instance::{Call, Ended, Instance, Invocation};
use spawnpoint::engine::lower::lower;
use spawnpoint::engine::profile::{self, Purpose, Slots};
use spawnpoint::engine::program::{Engines, Program, ProgramId};
use spawnpoint::engine::reset::resettable;
use spawnpoint::engine::ticker::{Pulse, Ticker};
use spawnpoint::host::Grant;
use spawnpoint::host::account::Accounts;
use spawnpoint::host::logs::GuestLog;
use spawnpoint::host::meter::Meter;
use spawnpoint::model::limits::Limits;
use spawnpoint::model::version::{Digest, Handler, Profile, Tier};
use tokio::runtime::Runtime;
use wasmtime_wasi_http::WasiBody;

#[path = "support/guests.rs"]
mod guests;

/// The allocator of the server: the default one would be measured along.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// CPU time a call may take; none of these comes near it.
const CPU_MS: u64 = 1_000;

/// Everything one process has one of.
struct Bench {
    engines: Engines,
    artifacts: ArtifactStore,
    pulse: Pulse,
    runtime: Runtime,
    dir: tempfile::TempDir,
}

/// A component that was compiled and kept, as a deploy does.
struct Kept {
    id: ArtifactId,
    kind: (Profile, Handler),
}

fn main() -> Result<()> {
    let bench = Bench::new()?;
    let mut criterion = Criterion::default().configure_from_args();
    let lean = (Profile::Lean, Handler::Http02);
    let hello = bench.keep("hello_wasip2", lean, true)?;
    let component = bench.keep("hello_wasip2", lean, false)?;
    let classic = bench.keep("examples/ok", lean, true)?;
    let concurrent = (Profile::Async, Handler::Http03);
    let hello_async = bench.keep("hello_p3", concurrent, true)?;
    let component_async = bench.keep("hello_p3", concurrent, false)?;
    let trap = bench.keep("examples/unreachable", lean, true)?;

    let mut group = criterion.benchmark_group("instance");
    group.throughput(Throughput::Elements(1));
    let rows = [
        ("lean", &hello),
        ("lean-component", &component),
        ("lean-classic", &classic),
        ("async", &hello_async),
        ("async-component", &component_async),
    ];
    for (name, kept) in rows {
        let program = bench.program(kept)?;
        bench.spawn_and_drop(&mut group, name, &program);
        bench.fresh_request(&mut group, name, &program)?;
        bench.reused_request(&mut group, name, &program)?;
        bench.reset_request(&mut group, name, &program)?;
    }
    bench.trap_and_replace(&mut group, &bench.program(&trap)?)?;
    group.finish();

    let mut group = criterion.benchmark_group("artifact");
    bench.load(&mut group, &hello)?;
    group.finish();
    criterion.final_summary();
    Ok(())
}

impl Bench {
    fn new() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let ticker = Ticker::start(false)?;
        let slots = Slots {
            instances: 256,
            ceiling: Limits::default_ceiling(),
            scan_pages: profile::why_not_scan_pages().is_none(),
            resident_bytes: profile::MEMORY_KEEP_RESIDENT,
            resets: true,
        };
        let pulse = ticker.pulse();
        Ok(Self {
            engines: Engines::new(slots, ticker)?,
            artifacts: ArtifactStore::open(dir.path())?,
            pulse,
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
            dir,
        })
    }

    /// Compiles a guest here, where the server has a child process do it, and keeps the artifact.
    fn keep(&self, guest: &str, kind: (Profile, Handler), lowers: bool) -> Result<Kept> {
        let wasm = std::fs::read(guests::path(guest)?)?;
        let failed = |error| anyhow!("`{guest}` does not compile: {error:#}");
        let compiler = profile::engine(kind.0, Purpose::Compile).map_err(failed)?;
        let (artifact, moves) = if lowers {
            let lowered = lower(&wasm)?;
            (compiler.precompile_module(&lowered.module), lowered.moves)
        } else {
            let reset = resettable(&wasm, kind.0)?;
            (compiler.precompile_component(&reset.component), reset.moves)
        };
        let mut artifact = artifact.map_err(failed)?;
        artifact.extend(moves.trailer());
        let digest = Digest(*blake3::hash(&wasm).as_bytes());
        let engine = EngineHash::of(self.engines.engine(kind.0)?, lowers);
        let id = ArtifactId { digest, profile: kind.0, tier: Tier::Speed, engine };
        self.artifacts.put(&id, &artifact)?;
        Ok(Kept { id, kind })
    }

    fn program(&self, kept: &Kept) -> Result<Arc<Program>> {
        let loaded = self.artifacts.load(self.engines.engine(kept.kind.0)?, &kept.id)?;
        let code = self.engines.link(loaded, kept.kind)?;
        Ok(Arc::new(Program::new(ProgramId::next(), code, grant()?)))
    }

    fn call(&self, program: &Arc<Program>, instance: Option<Box<Instance>>) -> Driving {
        let meter = instance.as_ref().map_or_else(Arc::default, |instance| instance.meter().clone());
        let invocation = Invocation { instance, request: request(), cpu_ms: CPU_MS, meter };
        let pulse = self.pulse.clone();
        Driving { call: Call::new(program.clone(), invocation), pulse, body: None, bytes: 0 }
    }

    fn spawn_and_drop(&self, group: &mut BenchmarkGroup<'_, WallTime>, name: &str, program: &Arc<Program>) {
        group.bench_function(format!("{name}/instantiate+drop"), |b| {
            b.iter_custom(|n| {
                self.timed(n, async || {
                    let _ = black_box(program.spawn(Arc::new(Meter::default())).await);
                })
            });
        });
    }

    fn fresh_request(
        &self,
        group: &mut BenchmarkGroup<'_, WallTime>,
        name: &str,
        program: &Arc<Program>,
    ) -> Result<()> {
        clean(self.runtime.block_on(self.call(program, None)))?;
        group.bench_function(format!("{name}/instantiate+request+drop"), |b| {
            b.iter_custom(|n| {
                self.timed(n, async || {
                    black_box(self.call(program, None).await);
                })
            });
        });
        Ok(())
    }

    fn reused_request(
        &self,
        group: &mut BenchmarkGroup<'_, WallTime>,
        name: &str,
        program: &Arc<Program>,
    ) -> Result<()> {
        let mut live = Some(clean(self.runtime.block_on(self.call(program, None)))?);
        group.bench_function(format!("{name}/request on a live instance"), |b| {
            b.iter_custom(|n| {
                self.timed(n, async || {
                    live = clean(self.call(program, live.take()).await).ok();
                })
            });
        });
        anyhow::ensure!(live.is_some(), "a reused instance of `{name}` failed");
        Ok(())
    }

    /// The instance is put back before each call, where that can be done.
    fn reset_request(
        &self,
        group: &mut BenchmarkGroup<'_, WallTime>,
        name: &str,
        program: &Arc<Program>,
    ) -> Result<()> {
        let mut live = Some(clean(self.runtime.block_on(self.call(program, None)))?);
        // As the shelf does: asked when it has answered, told for whom when it is to answer again.
        let again = |instance: &mut Box<Instance>| {
            let retired = instance.retire();
            instance.renew(&program.grant);
            retired
        };
        if !live.as_mut().is_some_and(again) {
            return Ok(());
        }
        group.bench_function(format!("{name}/put back+request"), |b| {
            b.iter_custom(|n| {
                self.timed(n, async || {
                    live = clean(self.call(program, live.take()).await).ok();
                    assert!(live.as_mut().is_some_and(again), "it cannot be put back any more");
                })
            });
        });
        Ok(())
    }

    /// The guest traps, the wreck is dropped, and the next instance stands ready.
    fn trap_and_replace(
        &self,
        group: &mut BenchmarkGroup<'_, WallTime>,
        program: &Arc<Program>,
    ) -> Result<()> {
        let (Ended::Failed(..), _) = self.runtime.block_on(self.call(program, None)) else {
            bail!("the guest that should trap did not");
        };
        let spawn = || program.spawn(Arc::new(Meter::default()));
        let mut ready = Some(Box::new(self.runtime.block_on(spawn())?));
        group.bench_function("lean/trap+drop+replace", |b| {
            b.iter_custom(|n| {
                self.timed(n, async || {
                    drop(black_box(self.call(program, ready.take()).await));
                    ready = spawn().await.ok().map(Box::new);
                })
            });
        });
        Ok(())
    }

    fn load(&self, group: &mut BenchmarkGroup<'_, WallTime>, kept: &Kept) -> Result<()> {
        let engine = self.engines.engine(kept.kind.0)?;
        let data_dir: &Path = self.dir.path();
        group.bench_function("load, seal known to be right", |b| {
            b.iter(|| black_box(self.artifacts.load(engine, &kept.id)));
        });
        group.bench_function("load, seal verified", |b| {
            b.iter_batched(
                || ArtifactStore::open(data_dir),
                |store| store.map(|store| black_box(store.load(engine, &kept.id))),
                BatchSize::PerIteration,
            );
        });
        group.bench_function("load and link", |b| b.iter(|| black_box(self.program(kept))));
        Ok(())
    }

    /// Runs `once` n times inside the runtime, so that entering it is not part of the figure.
    fn timed(&self, n: u64, mut once: impl AsyncFnMut()) -> Duration {
        self.runtime.block_on(async {
            let start = Instant::now();
            for _ in 0..n {
                once().await;
            }
            start.elapsed()
        })
    }
}

/// One call, polled as a connection would: the guest, then whatever body there is.
struct Driving {
    call: Call,
    pulse: Pulse,
    body: Option<WasiBody>,
    bytes: usize,
}

impl Future for Driving {
    type Output = (Ended, usize);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let Self { call, pulse, .. } = &mut *self;
            let ended = call.poll(cx, pulse);
            if let Some(Ok(answer)) = self.call.head(cx) {
                self.body = Some(answer.into_body());
            }
            let progressed = self.drain(cx);
            if let Poll::Ready(ended) = ended {
                return Poll::Ready((ended, self.bytes));
            }
            if !progressed {
                return Poll::Pending;
            }
        }
    }
}

impl Driving {
    /// Takes what there is of the body; says whether the guest may have got further for it.
    fn drain(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progressed = false;
        while let Some(body) = &mut self.body {
            match Pin::new(body).poll_frame(cx) {
                Poll::Pending => return progressed,
                Poll::Ready(Some(Ok(frame))) => {
                    self.bytes += frame.data_ref().map_or(0, Bytes::len);
                }
                Poll::Ready(_) => {
                    self.body = None;
                    self.call.body_is_sent();
                }
            }
            progressed = true;
        }
        progressed
    }
}

/// The instance of a call that ended as it should, with a body.
fn clean((ended, bytes): (Ended, usize)) -> Result<Box<Instance>> {
    match ended {
        Ended::Cleanly(instance) if bytes > 0 => Ok(instance),
        Ended::Cleanly(_) => bail!("the guest answered nothing"),
        Ended::Failed(error, _) => bail!("the guest failed: {error:#}"),
        Ended::NotSpawned(error) => Err(error.into()),
        Ended::Panicked => bail!("the host panicked"),
    }
}

fn request() -> Request<impl http_body::Body<Data = Bytes, Error = wasmtime_wasi_http::Error> + Send + 'static>
{
    let body = Empty::new().map_err(|never| match never {});
    let mut request = Request::new(body);
    *request.uri_mut() = http::Uri::from_static("http://bench.localhost/");
    request.headers_mut().insert(http::header::HOST, http::HeaderValue::from_static("bench.localhost"));
    request
}

fn grant() -> Result<Grant> {
    let limits = Limits::default();
    Ok(Grant {
        variables: Arc::from([]),
        memory_bytes: limits.memory_bytes,
        table_elements: limits.table_elements,
        log: GuestLog::new("bench/guest".to_owned()),
        account: Accounts::unlimited().of(&"bench".parse()?),
    })
}
