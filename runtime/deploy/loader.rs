//! How a program gets into memory: the artifact if it fits, else the kept wasm compiled again.
//! Must never trust a file that was not sealed here, nor compile in this process.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use tokio::runtime::Handle;
use wasmtime::component::Component;

use super::live::Live;
use crate::engine::artifact::{ArtifactId, ArtifactStore, LoadError, Tier};
use crate::engine::compile::{CompileError, Compiled, Compiler, EngineHash, Wasm, engine_hash};
use crate::engine::program::{Engines, LinkError, Program, ProgramId};
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
    /// Where children are waited for, whichever thread asks for one.
    control: Handle,
    hashes: [OnceLock<EngineHash>; 2],
    resident: AtomicUsize,
}

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
    Write(#[source] std::io::Error),
    /// The component does not fit this platform.
    #[error("{0}: {detail}", detail = detail(.0))]
    Link(#[from] LinkError),
    /// A thread for slow files was lost.
    #[error("a background thread failed")]
    Thread,
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
        compiler: Compiler,
        control: Handle,
    ) -> Arc<Self> {
        Arc::new(Self {
            engines,
            artifacts: Arc::new(artifacts),
            blobs,
            compiler,
            control,
            hashes: [OnceLock::new(), OnceLock::new()],
            resident: AtomicUsize::new(0),
        })
    }

    /// Where uploads are kept.
    #[must_use]
    pub fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    /// Programs in memory.
    #[must_use]
    pub fn resident(&self) -> usize {
        self.resident.load(Relaxed)
    }

    pub(super) fn loaded(&self) {
        self.resident.fetch_add(1, Relaxed);
    }

    pub(super) fn unloaded(&self) {
        self.resident.fetch_sub(1, Relaxed);
    }

    fn artifact(&self, digest: Digest, profile: Profile) -> Result<ArtifactId, LinkError> {
        let hash = match profile {
            Profile::Lean => &self.hashes[0],
            Profile::Async => &self.hashes[1],
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

    /// Compiles what was uploaded and keeps the artifact.
    ///
    /// # Errors
    /// A refusal or a limit is the upload's fault; everything else is ours.
    pub async fn compile(&self, digest: Digest) -> Result<Compiled, LoadFailure> {
        let wasm = self.blobs.open_file(digest).await?;
        let compiler = self.compiler.clone();
        let child = tasks::on(&self.control, async move { compiler.compile(Wasm::File(wasm)).await });
        let mut compiled = child.await.map_err(|_| LoadFailure::Thread)??;
        let id = self.artifact(digest, compiled.facts.profile)?;
        let (artifacts, bytes) = (self.artifacts.clone(), std::mem::take(&mut compiled.artifact));
        let kept = tasks::blocking(&self.control, move || artifacts.put(&id, &bytes));
        kept.await.map_err(|_| LoadFailure::Thread)?.map_err(LoadFailure::Write)?;
        Ok(compiled)
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
        let component = match self.component(what).await {
            Err(LoadFailure::Artifact(why)) if is_curable(&why) => {
                tracing::info!(digest = %what.digest, %why, "compiling again");
                self.compile(what.digest).await?;
                self.component(what).await?
            }
            other => other?,
        };
        Ok(self.engines.program(id, &component, (what.profile, what.handler), grant)?)
    }

    async fn component(&self, what: What) -> Result<Component, LoadFailure> {
        let id = self.artifact(what.digest, what.profile)?;
        let engine = self.engines.engine(what.profile)?.clone();
        let size = self.artifacts.size(&id).ok().flatten().unwrap_or(0);
        if size <= INLINE_BYTES {
            return Ok(self.artifacts.load(&engine, &id)?);
        }
        let artifacts = self.artifacts.clone();
        let loading = tasks::blocking(&self.control, move || artifacts.load(&engine, &id));
        Ok(loading.await.map_err(|_| LoadFailure::Thread)??)
    }

    /// Removes what is kept of an upload that nobody refers to any more.
    ///
    /// # Errors
    /// Of the file system; what could not be removed is tried again at the next start.
    pub async fn discard(&self, digest: Digest) -> Result<(), LoadFailure> {
        for profile in [Profile::Lean, Profile::Async] {
            let id = self.artifact(digest, profile)?;
            let artifacts = self.artifacts.clone();
            let removing = tasks::blocking(&self.control, move || artifacts.remove(&id));
            removing.await.map_err(|_| LoadFailure::Thread)?.map_err(LoadFailure::Write)?;
        }
        self.blobs.delete(digest).await?;
        Ok(())
    }
}

fn is_curable(why: &LoadError) -> bool {
    matches!(why, LoadError::Absent | LoadError::Corrupt { .. } | LoadError::Incompatible { .. })
}
