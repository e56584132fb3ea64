//! How a program gets into memory: the artifact if it fits, else the kept wasm compiled again.
//! Must never trust a file that was not sealed here, nor compile in this process.

mod failure;

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use rustix::io::Errno;
use tokio::runtime::Handle;

pub use failure::LoadFailure;

use super::backlog::{Backlog, Job};
use super::codes::Codes;
use super::live::Live;
use super::places::Places;
use super::rest::Rests;
use super::shares::Shares;
use crate::engine::artifact::{ArtifactId, ArtifactStore, LoadError};
use crate::engine::compile::{Compiled, Compiler, Wasm};
use crate::engine::locate::Locator;
use crate::engine::program::{Code, Engines, LinkError, Loaded, Program, ProgramId};
use crate::faults;
use crate::host::Grant;
use crate::model::name::TenantName;
use crate::model::version::{Digest, Handler, Profile, Tier};
use crate::storage::{BlobError, Blobs};
use crate::tasks;

/// Artifacts up to this size are mapped by the thread that asks; larger ones would keep its other requests waiting.
const INLINE_BYTES: u64 = 1 << 20;

/// Everything that loading takes.
pub struct Loader {
    engines: Engines,
    artifacts: Arc<ArtifactStore>,
    blobs: Blobs,
    compiler: Compiler,
    /// What tenants compile at once.
    compiles: Arc<Shares>,
    /// What they deploy at once, or rest from.
    deploys: Arc<Shares>,
    rests: Rests,
    /// Which lines of source its instructions come from.
    pub(super) places: Places,
    /// What was compiled quickly and is worth more.
    pub(super) backlog: Backlog,
    /// Where children are waited for, whichever thread asks for one.
    control: Handle,
    /// How what somebody waits for is compiled.
    first: Tier,
    again: Arc<Mutex<HashMap<Digest, Again>>>,
    /// What is in memory.
    codes: Codes,
}

/// The end of a compilation, for all who wait for it.
type Again = Shared<BoxFuture<'static, Result<(), Arc<LoadFailure>>>>;

/// The artifact of an upload for the engine of this process.
fn artifact(
    compiler: &Compiler,
    (digest, profile): (Digest, Profile),
    tier: Tier,
) -> Result<ArtifactId, LinkError> {
    // Not of the engine that serves: making that one takes its slots, and a file may be from before a restart.
    let failed = |source| LinkError::Engine { profile: profile.as_str(), source };
    let engine = compiler.engine_hash(profile).map_err(failed)?;
    Ok(ArtifactId { digest, profile, tier, engine })
}

/// Which component, and how it answers.
#[derive(Clone, Copy, Debug)]
pub struct What {
    /// Of the uploaded bytes.
    pub digest: Digest,
    /// How it answers.
    pub handler: Handler,
    /// On which engine.
    pub profile: Profile,
}

impl Loader {
    /// Loads into `engines` from these files.
    #[must_use]
    pub fn new(
        engines: Engines,
        artifacts: ArtifactStore,
        blobs: Blobs,
        (compiler, locator, compiles, rests): (Compiler, Locator, usize, Rests),
        (control, first): (Handle, Tier),
    ) -> Arc<Self> {
        Arc::new(Self {
            engines,
            artifacts: Arc::new(artifacts),
            blobs,
            compiler,
            compiles: Arc::new(Shares::of(compiles)),
            deploys: Arc::new(Shares::of(compiles)),
            rests,
            places: Places::new(locator),
            backlog: Backlog::default(),
            control,
            first,
            again: Arc::default(),
            codes: Codes::default(),
        })
    }

    /// Where uploads are kept.
    #[must_use]
    pub fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    /// Where children are waited for.
    pub(super) fn control(&self) -> &Handle {
        &self.control
    }

    /// Artifacts in memory: each is one mapping and one open file, however many versions run it.
    #[must_use]
    pub fn resident(&self) -> usize {
        self.codes.count()
    }

    /// Compiles what was uploaded, quickly unless the operator says otherwise, and keeps the artifact, even if nobody
    /// waits for it any more. A tenant that has just compiled while others were answered waits for a while first.
    ///
    /// # Errors
    /// A refusal or a limit is the upload's fault; everything else is ours.
    pub async fn compile(&self, tenant: &TenantName, digest: Digest) -> Result<Compiled, LoadFailure> {
        let deploys = Some(self.deploys.clone());
        let compiling = tasks::on(&self.control, self.compiling(tenant, digest, (self.first, deploys)));
        compiling.await.map_err(|_| LoadFailure::Thread)?
    }

    /// `turns` is where it takes a turn first, and rests after it.
    fn compiling(
        &self,
        tenant: &TenantName,
        digest: Digest,
        (tier, turns): (Tier, Option<Arc<Shares>>),
    ) -> impl Future<Output = Result<Compiled, LoadFailure>> + Send + 'static {
        let (blobs, compiler) = (self.blobs.clone(), self.compiler.clone());
        let (artifacts, control) = (self.artifacts.clone(), self.control.clone());
        let (tenant, compiles, rests) = (tenant.clone(), self.compiles.clone(), self.rests.clone());
        async move {
            let turn = match turns {
                Some(turns) => Some(turns.enter(&tenant).await.map_err(|_| LoadFailure::Thread)?),
                None => None,
            };
            let share = compiles.enter(&tenant).await.map_err(|_| LoadFailure::Thread)?;
            let wasm = blobs.open_file(digest).await?;
            let effort = rests.begin();
            let compiled = compiler.compile(Wasm::File(wasm), tier).await;
            drop(share);
            if let Some(turn) = turn {
                drop(tasks::on(&control, turn.rest(effort.rest())));
            }
            let mut compiled = compiled?;
            let profile = compiled.facts.profile;
            if let Some(why) = &compiled.facts.stays {
                tracing::info!(%digest, %why, "a component stays one: it is not lowered");
            }
            let of = |tier| artifact(&compiler, (digest, profile), tier);
            let (id, better) = (of(tier)?, of(Tier::Speed)?);
            let bytes = std::mem::take(&mut compiled.artifact);
            let kept = tasks::blocking(&control, move || {
                artifacts.put(&id, &bytes)?;
                // Whoever writes the better one removes this one, but may have looked before it was there.
                let late = id != better && artifacts.size(&better)?.is_some();
                if late { artifacts.remove(&id) } else { Ok(()) }
            });
            kept.await.map_err(|_| LoadFailure::Thread)?.map_err(LoadFailure::Write)?;
            Ok(compiled)
        }
    }

    /// Compiles a kept upload again, once at a time: clients that give up sooner than a compilation takes would otherwise
    /// queue one for each of their attempts, and never see the end of it.
    async fn again(
        &self,
        (tenant, digest): (&TenantName, Digest),
        (tier, why): (Tier, &LoadError),
    ) -> Result<(), LoadFailure> {
        let running = {
            let mut all = self.again.lock().unwrap_or_else(PoisonError::into_inner);
            all.retain(|_, one| one.peek().is_none());
            all.entry(digest)
                .or_insert_with(|| {
                    tracing::info!(%digest, %why, "compiling again");
                    let (compiling, all) = (self.compiling(tenant, digest, (tier, None)), self.again.clone());
                    let task = tasks::on(&self.control, async move {
                        let done = compiling.await.map(drop).map_err(Arc::new);
                        all.lock().unwrap_or_else(PoisonError::into_inner).remove(&digest);
                        done
                    });
                    async move { task.await.unwrap_or_else(|_| Err(Arc::new(LoadFailure::Thread))) }
                        .boxed()
                        .shared()
                })
                .clone()
        };
        running.await.map_err(LoadFailure::Shared)
    }

    /// Loads a program that was compiled before; compiles it again if its artifact is gone, damaged or of another engine.
    /// What was only compiled quickly is remembered, to be compiled for speed.
    ///
    /// # Errors
    /// See [`LoadFailure`].
    pub async fn load(&self, live: &Live) -> Result<Program, LoadFailure> {
        let what = What { digest: live.digest, handler: live.handler, profile: live.profile };
        let program = self.program(live.id, what, live.grant.clone()).await?;
        self.want_better(what, program.id);
        Ok(program)
    }

    /// Remembers a program that was compiled quickly, if that is the operator's wish.
    pub(super) fn want_better(&self, what: What, program: ProgramId) {
        if program.tier() == Tier::Fast && self.first == Tier::Fast {
            self.backlog.add(Job { digest: what.digest, profile: what.profile });
        }
    }

    /// As [`Loader::load`], for a version that is not live yet.
    ///
    /// # Errors
    /// See [`LoadFailure`].
    pub async fn program(&self, id: ProgramId, what: What, grant: Grant) -> Result<Program, LoadFailure> {
        let (tier, code) = match self.code(what).await {
            (tier, Err(LoadFailure::Artifact(why))) if is_curable(&why) => {
                // What was damaged is replaced; what is not there at all is waited for no longer than need be.
                let tier = if matches!(why, LoadError::Absent) { self.first } else { tier };
                self.again((&grant.account.tenant, what.digest), (tier, &why)).await?;
                self.code(what).await
            }
            other => other,
        };
        Ok(Program::new(id.at(tier), code?, grant))
    }

    /// The code that was compiled for speed, or else quickly; and of which of the two that can be said.
    async fn code(&self, what: What) -> (Tier, Result<Arc<Code>, LoadFailure>) {
        // The last look is for an optimisation that ended between the first two, and took the other one away.
        for tier in [Tier::Speed, Tier::Fast, Tier::Speed] {
            match self.code_at(what, tier).await {
                Err(LoadFailure::Artifact(LoadError::Absent)) => {}
                other => return (tier, other),
            }
        }
        (Tier::Speed, Err(LoadError::Absent.into()))
    }

    /// The code of an artifact, from memory if any version has it there.
    async fn code_at(&self, what: What, tier: Tier) -> Result<Arc<Code>, LoadFailure> {
        let id = artifact(&self.compiler, (what.digest, what.profile), tier)?;
        if let Some(code) = self.codes.get(&id) {
            return Ok(code);
        }
        let loaded = self.read(what, id).await?;
        Ok(self.codes.keep(id, self.engines.link(loaded, (what.profile, what.handler))?))
    }

    /// How an upload answers whose artifact is kept, as far as that tells: it need not be compiled again for another
    /// function.
    pub(super) fn known(&self, digest: Digest) -> Option<(Handler, Profile)> {
        artifacts_of(&self.compiler, digest).ok()?.as_flattened().iter().find_map(|id| {
            let kept = self.artifacts.size(id).is_ok_and(|size| size.is_some());
            let handler = match id.profile {
                // Only these are lean.
                Profile::Lean => Handler::Http02,
                Profile::Async => self.codes.get(id)?.handler(),
            };
            kept.then_some((handler, id.profile))
        })
    }

    async fn read(&self, what: What, id: ArtifactId) -> Result<Loaded, LoadFailure> {
        let engine = self.engines.engine(what.profile)?.clone();
        let size = self.artifacts.size(&id).ok().flatten().unwrap_or(0);
        if size <= INLINE_BYTES {
            return Ok(self.artifacts.load(&engine, &id)?);
        }
        let artifacts = self.artifacts.clone();
        let loading = tasks::blocking(&self.control, move || artifacts.load(&engine, &id));
        Ok(loading.await.map_err(|_| LoadFailure::Thread)??)
    }

    /// Compiles for speed what was compiled quickly, as nobody waits for it. Keeps nothing. `None` if the upload is gone.
    pub(super) async fn optimised(&self, job: Job) -> Result<Option<Vec<u8>>, LoadFailure> {
        let wasm = match self.blobs.open_file(job.digest).await {
            Err(BlobError::Missing(_)) => return Ok(None),
            other => other?,
        };
        Ok(Some(self.compiler.optimise(Wasm::File(wasm)).await?.artifact))
    }

    /// Keeps what was compiled for speed, and then no longer what was compiled quickly. The caller keeps blobs.
    pub(super) async fn improve(&self, job: Job, bytes: Vec<u8>) -> Result<(), LoadFailure> {
        let of = |tier| artifact(&self.compiler, (job.digest, job.profile), tier);
        let (fast, speed, artifacts) = (of(Tier::Fast)?, of(Tier::Speed)?, self.artifacts.clone());
        let keeping = tasks::blocking(&self.control, move || {
            if let Err(error) = artifacts.put(&speed, &bytes) {
                // One that failed late may stand under its name, and is not known to stay after a crash.
                drop(artifacts.remove(&speed));
                return Err(error);
            }
            faults::pass("optimise.kept");
            artifacts.remove(&fast)
        });
        keeping.await.map_err(|_| LoadFailure::Thread)?.map_err(LoadFailure::Write)
    }

    /// How thoroughly each of these is compiled on disk; `None` where nothing is kept.
    pub async fn tiers(&self, all: Vec<(Digest, Profile)>) -> Vec<Option<Tier>> {
        let (artifacts, compiler) = (self.artifacts.clone(), self.compiler.clone());
        let looking = tasks::blocking(&self.control, move || {
            let is_there = |which, tier| {
                let id = artifact(&compiler, which, tier).ok();
                id.is_some_and(|id| artifacts.size(&id).is_ok_and(|size| size.is_some()))
            };
            let best = |which| [Tier::Speed, Tier::Fast].into_iter().find(|tier| is_there(which, *tier));
            all.into_iter().map(best).collect()
        });
        looking.await.unwrap_or_default()
    }

    /// Removes every artifact but those of these uploads for the engine of this process: after an upgrade the older ones
    /// are of no use. Returns how many went.
    ///
    /// # Errors
    /// Of the file system, or when an engine cannot be asked for its hash.
    pub async fn keep_artifacts(&self, digests: &HashSet<Digest>) -> Result<usize, LoadFailure> {
        let mut kept = HashSet::new();
        for digest in digests {
            for [fast, speed] in artifacts_of(&self.compiler, *digest)? {
                // A crash may have left both.
                if !self.artifacts.size(&speed).is_ok_and(|size| size.is_some()) {
                    kept.insert(fast);
                }
                kept.insert(speed);
            }
        }
        let artifacts = self.artifacts.clone();
        let sweeping = tasks::blocking(&self.control, move || artifacts.keep_only(&kept));
        sweeping.await.map_err(|_| LoadFailure::Thread)?.map_err(LoadFailure::Write)
    }

    /// Removes what is kept of an upload that nobody refers to any more.
    ///
    /// # Errors
    /// Of the file system; what could not be removed is tried again at the next start.
    pub async fn discard(&self, digest: Digest) -> Result<(), LoadFailure> {
        let (all, artifacts) = (artifacts_of(&self.compiler, digest)?, self.artifacts.clone());
        let removing = tasks::blocking(&self.control, move || {
            all.as_flattened().iter().try_for_each(|id| artifacts.remove(id))
        });
        removing.await.map_err(|_| LoadFailure::Thread)?.map_err(LoadFailure::Write)?;
        self.blobs.delete(digest).await?;
        Ok(())
    }
}

/// Every artifact that an upload may have: of each profile the one compiled quickly, and the one compiled for speed.
fn artifacts_of(compiler: &Compiler, digest: Digest) -> Result<[[ArtifactId; 2]; 2], LinkError> {
    let of = |profile, tier| artifact(compiler, (digest, profile), tier);
    let both = |profile| Ok([of(profile, Tier::Fast)?, of(profile, Tier::Speed)?]);
    Ok([both(Profile::Lean)?, both(Profile::Async)?])
}

/// Whether a new artifact would do. A file that cannot be read is one that is replaced; where the machine has run out of
/// something, a compilation would only take more of it.
fn is_curable(why: &LoadError) -> bool {
    match why {
        LoadError::Absent | LoadError::Corrupt { .. } | LoadError::Incompatible { .. } => true,
        LoadError::Io(error) => !is_shortage(error),
        LoadError::Limit { .. } => false,
    }
}

fn is_shortage(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    let short = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::AGAIN];
    error.kind() == io::ErrorKind::OutOfMemory || errno.is_some_and(|errno| short.contains(&errno))
}
