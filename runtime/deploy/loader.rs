//! How a program gets into memory: the artifact if it fits, else the kept wasm compiled again.
//! Must never trust a file that was not sealed here, nor compile in this process.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use rustix::io::Errno;
use tokio::runtime::Handle;

use super::codes::Codes;
use super::live::Live;
use super::places::Places;
use crate::engine::artifact::{ArtifactId, ArtifactStore, LoadError, Tier};
use crate::engine::compile::{CompileError, Compiled, Compiler, EngineHash, Wasm, engine_hash};
use crate::engine::locate::Locator;
use crate::engine::program::{Code, Engines, LinkError, Loaded, Program, ProgramId};
use crate::host::Grant;
use crate::model::version::{Digest, Handler, Profile};
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
    /// Which lines of source its instructions come from.
    pub(super) places: Places,
    /// Where children are waited for, whichever thread asks for one.
    control: Handle,
    again: Arc<Mutex<HashMap<Digest, Again>>>,
    /// What is in memory.
    codes: Codes,
}

/// The end of a compilation, for all who wait for it.
type Again = Shared<BoxFuture<'static, Result<(), Arc<LoadFailure>>>>;

/// Why there is no program.
#[derive(Debug, thiserror::Error)]
pub enum LoadFailure {
    /// The artifact could not be read or does not fit the pool.
    #[error("the artifact cannot be loaded: {0}")]
    Artifact(#[from] LoadError),
    /// The kept wasm could not be read.
    #[error("the kept wasm cannot be read: {0}")]
    Blob(#[from] BlobError),
    /// The kept wasm could not be compiled again.
    #[error("the kept wasm cannot be compiled: {0}")]
    Compile(#[from] CompileError),
    /// What was compiled could not be kept.
    #[error("the artifact cannot be written")]
    Write(#[source] io::Error),
    /// The component does not fit this platform.
    #[error("{0}: {detail}", detail = detail(.0))]
    Link(#[from] LinkError),
    /// Somebody else tried a moment ago.
    #[error(transparent)]
    Shared(Arc<LoadFailure>),
    /// A thread for slow files was lost.
    #[error("a background thread failed")]
    Thread,
}

/// The artifact of an upload for the engine of this process.
fn artifact(digest: Digest, profile: Profile) -> Result<ArtifactId, LinkError> {
    static HASHES: [OnceLock<EngineHash>; 2] = [OnceLock::new(), OnceLock::new()];
    let hash = match profile {
        Profile::Lean => &HASHES[0],
        Profile::Async => &HASHES[1],
    };
    let engine = if let Some(engine) = hash.get() {
        *engine
    } else {
        // Not of the engine that serves: making that one takes its slots, and a file may be from before a restart.
        let failed = |source| LinkError::Engine { profile: profile.as_str(), source };
        let engine = engine_hash(profile).map_err(failed)?;
        *hash.get_or_init(|| engine)
    };
    Ok(ArtifactId { digest, profile, tier: Tier::Speed, engine })
}

fn detail(error: &LinkError) -> String {
    let (LinkError::Unfit(source) | LinkError::Engine { source, .. }) = error;
    format!("{source:#}").chars().take(400).collect()
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
        (compiler, locator): (Compiler, Locator),
        control: Handle,
    ) -> Arc<Self> {
        Arc::new(Self {
            engines,
            artifacts: Arc::new(artifacts),
            blobs,
            compiler,
            places: Places::new(locator),
            control,
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

    /// Compiles what was uploaded and keeps the artifact, even if nobody waits for it any more.
    ///
    /// # Errors
    /// A refusal or a limit is the upload's fault; everything else is ours.
    pub async fn compile(&self, digest: Digest) -> Result<Compiled, LoadFailure> {
        let compiling = tasks::on(&self.control, self.compiling(digest));
        compiling.await.map_err(|_| LoadFailure::Thread)?
    }

    fn compiling(
        &self,
        digest: Digest,
    ) -> impl Future<Output = Result<Compiled, LoadFailure>> + Send + 'static {
        let (blobs, compiler) = (self.blobs.clone(), self.compiler.clone());
        let (artifacts, control) = (self.artifacts.clone(), self.control.clone());
        async move {
            let wasm = blobs.open_file(digest).await?;
            let mut compiled = compiler.compile(Wasm::File(wasm)).await?;
            let id = artifact(digest, compiled.facts.profile)?;
            let bytes = std::mem::take(&mut compiled.artifact);
            let kept = tasks::blocking(&control, move || artifacts.put(&id, &bytes));
            kept.await.map_err(|_| LoadFailure::Thread)?.map_err(LoadFailure::Write)?;
            Ok(compiled)
        }
    }

    /// Compiles a kept upload again, once at a time: clients that give up sooner than a compilation takes would otherwise
    /// queue one for each of their attempts, and never see the end of it.
    async fn again(&self, digest: Digest, why: &LoadError) -> Result<(), LoadFailure> {
        let running = {
            let mut all = self.again.lock().unwrap_or_else(PoisonError::into_inner);
            all.retain(|_, one| one.peek().is_none());
            all.entry(digest)
                .or_insert_with(|| {
                    tracing::info!(%digest, %why, "compiling again");
                    let (compiling, all) = (self.compiling(digest), self.again.clone());
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
    ///
    /// # Errors
    /// See [`LoadFailure`].
    pub async fn load(&self, live: &Live) -> Result<Program, LoadFailure> {
        let what = What { digest: live.digest, handler: live.handler, profile: live.profile };
        self.program(live.id, what, live.grant.clone()).await
    }

    /// As [`Loader::load`], for a version that is not live yet.
    ///
    /// # Errors
    /// See [`LoadFailure`].
    pub async fn program(&self, id: ProgramId, what: What, grant: Grant) -> Result<Program, LoadFailure> {
        let code = match self.code(what).await {
            Err(LoadFailure::Artifact(why)) if is_curable(&why) => {
                self.again(what.digest, &why).await?;
                self.code(what).await?
            }
            other => other?,
        };
        Ok(Program::new(id, code, grant))
    }

    /// The code of an artifact, from memory if any version has it there.
    async fn code(&self, what: What) -> Result<Arc<Code>, LoadFailure> {
        let id = artifact(what.digest, what.profile)?;
        if let Some(code) = self.codes.get(&id) {
            return Ok(code);
        }
        let loaded = self.read(what, id).await?;
        Ok(self.codes.keep(id, self.engines.link(loaded, (what.profile, what.handler))?))
    }

    /// How an upload answers whose artifact is kept, as far as that tells: it need not be compiled again for another
    /// function.
    pub(super) fn known(&self, digest: Digest) -> Option<(Handler, Profile)> {
        [Profile::Lean, Profile::Async].into_iter().find_map(|profile| {
            let id = artifact(digest, profile).ok()?;
            let kept = self.artifacts.size(&id).is_ok_and(|size| size.is_some());
            let handler = match profile {
                // Only these are lean.
                Profile::Lean => Handler::Http02,
                Profile::Async => self.codes.get(&id)?.handler(),
            };
            kept.then_some((handler, profile))
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

    /// Removes every artifact but those of these uploads for the engine of this process: after an upgrade the older ones
    /// are of no use. Returns how many went.
    ///
    /// # Errors
    /// Of the file system, or when an engine cannot be asked for its hash.
    pub async fn keep_artifacts(&self, digests: &HashSet<Digest>) -> Result<usize, LoadFailure> {
        let profiles = [Profile::Lean, Profile::Async];
        let all = digests.iter().flat_map(|digest| profiles.map(|profile| artifact(*digest, profile)));
        let kept = all.collect::<Result<HashSet<_>, _>>()?;
        let artifacts = self.artifacts.clone();
        let sweeping = tasks::blocking(&self.control, move || artifacts.keep_only(&kept));
        sweeping.await.map_err(|_| LoadFailure::Thread)?.map_err(LoadFailure::Write)
    }

    /// Removes what is kept of an upload that nobody refers to any more.
    ///
    /// # Errors
    /// Of the file system; what could not be removed is tried again at the next start.
    pub async fn discard(&self, digest: Digest) -> Result<(), LoadFailure> {
        for profile in [Profile::Lean, Profile::Async] {
            let id = artifact(digest, profile)?;
            let artifacts = self.artifacts.clone();
            let removing = tasks::blocking(&self.control, move || artifacts.remove(&id));
            removing.await.map_err(|_| LoadFailure::Thread)?.map_err(LoadFailure::Write)?;
        }
        self.blobs.delete(digest).await?;
        Ok(())
    }
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
