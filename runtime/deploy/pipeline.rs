//! The steps of a deploy, each undoable until the commit: compile, load, prove, publish and activate, route.
//! Must never answer before every thread has taken the change.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use tokio::sync::{RwLock, RwLockReadGuard};

use super::live::{Facts, Live};
use super::loader::{LoadFailure, Loader, What};
use super::table::{Route, Shared, Table};
use crate::catalog::{Catalog, CatalogError, Function, NewVersion, Published, Snapshot, Version, Weight};
use crate::engine::compile::CompileError;
use crate::engine::crew::Crew;
use crate::engine::instance::prove_ahead;
use crate::engine::lanes::{Group, HeavyLane};
use crate::engine::program::{Program, ProgramId, SpawnError};
use crate::engine::verdict;
use crate::faults;
use crate::host::Grant;
use crate::host::logs::GuestLog;
use crate::host::meter::Meter;
use crate::model::breaker::Rules;
use crate::model::limits::{LimitError, Limits, ServerLimits};
use crate::model::manifest::{Manifest, ManifestError};
use crate::model::name::{FunctionName, TenantName};
use crate::model::version::Digest;

/// The one that changes what is deployed.
pub struct Deployer {
    /// What is deployed.
    pub catalog: Catalog,
    pub(super) loader: Arc<Loader>,
    pub(super) table: Arc<Table>,
    pub(super) crew: Crew,
    heavy: HeavyLane,
    policy: Policy,
    /// Held shared by deploys, and alone by whoever removes blobs that nothing refers to.
    pub(super) blobs_in_use: RwLock<()>,
    /// Whether a sweep gave up: there may be blobs that nothing refers to.
    pub(super) left_over: AtomicBool,
    /// One change of routes at a time: the catalog's order is the table's.
    pub(super) routing: tokio::sync::Mutex<()>,
}

/// What the operator allows.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Where a manifest says nothing.
    pub defaults: Limits,
    /// The most a manifest may ask for.
    pub ceiling: Limits,
    /// Of the server itself.
    pub server: ServerLimits,
    /// When a version that fails is left alone.
    pub breaker: Rules,
    /// Whether answers tell where their time went, where a manifest says nothing.
    pub server_timing: bool,
}

/// What a deploy did.
pub struct Deployed {
    /// The function as it is now.
    pub function: Function,
    /// The version that answers now.
    pub version: Version,
    /// Whether it is new.
    pub created: bool,
    /// How long it took, in milliseconds.
    pub timings: Timings,
}

/// The phases of a deploy, in milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timings {
    /// To sniff, adapt and validate.
    pub componentize_ms: u64,
    /// To compile.
    pub compile_ms: u64,
    /// To load and prove.
    pub load_ms: u64,
}

/// Why a deploy was refused. The old version still answers.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// A limit of the manifest.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// Anything else in the manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The catalog.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The upload is no function, or too expensive to compile.
    #[error(transparent)]
    Compile(CompileError),
    /// The component imports what no host here has, or exceeds what one slot holds.
    #[error("{0}")]
    Unfit(String),
    /// The guest's start-up failed, as its first call would have.
    #[error("the function does not start: {0}")]
    NotReady(String),
    /// The platform's own failure.
    #[error("the platform failed")]
    Host(#[source] LoadFailure),
}

impl From<LoadFailure> for DeployError {
    fn from(failure: LoadFailure) -> Self {
        use crate::engine::artifact::LoadError;
        use crate::engine::program::LinkError;
        match failure {
            LoadFailure::Compile(CompileError::Host { .. }) => Self::Host(failure),
            LoadFailure::Compile(error) => Self::Compile(error),
            LoadFailure::Link(LinkError::Unfit(_)) | LoadFailure::Artifact(LoadError::Limit { .. }) => {
                Self::Unfit(failure.to_string())
            }
            failure => Self::Host(failure),
        }
    }
}

impl Deployer {
    /// The deployer of one process.
    #[must_use]
    pub fn new(
        catalog: Catalog,
        (loader, table): (Arc<Loader>, Arc<Table>),
        crew: Crew,
        heavy: HeavyLane,
        policy: Policy,
    ) -> Arc<Self> {
        Arc::new(Self {
            catalog,
            loader,
            table,
            crew,
            heavy,
            policy,
            blobs_in_use: RwLock::new(()),
            left_over: AtomicBool::new(false),
            routing: tokio::sync::Mutex::new(()),
        })
    }

    /// The operator's bounds.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Where uploads go.
    #[must_use]
    pub fn loader(&self) -> &Arc<Loader> {
        &self.loader
    }

    /// Checks a manifest, before anybody waits for an upload.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn check(&self, manifest: &Manifest) -> Result<Limits, DeployError> {
        manifest.check()?;
        Ok(manifest.limits.resolve(&self.policy.defaults, &self.policy.ceiling)?)
    }

    /// Keeps blobs from being swept, until it is dropped: held from before one is complete until a version refers to it.
    pub async fn keep_blobs(&self) -> RwLockReadGuard<'_, ()> {
        // Nobody waits to write: a sweep that finds a reader gives up.
        self.blobs_in_use.read().await
    }

    /// Publishes a blob as a version and has it answer. Returns, too, what the versions that went were made of. The
    /// caller holds [`Deployer::keep_blobs`].
    ///
    /// # Errors
    /// Everything that can be wrong with it; what answered before still does.
    pub async fn deploy(
        &self,
        tenant: &TenantName,
        name: &FunctionName,
        (digest, size_bytes): (Digest, u64),
        manifest: Manifest,
    ) -> Result<(Deployed, Vec<Digest>), DeployError> {
        let limits = self.check(&manifest)?;
        let mut timings = Timings::default();
        let equal = self.catalog.lookup_equal(tenant, name, digest, &manifest).await?;
        let known = match &equal {
            Some(version) => Some((version.handler, version.profile)),
            None => self.loader.known(digest),
        };
        let (handler, profile) = if let Some(known) = known {
            known
        } else {
            let facts = self.loader.compile(tenant, digest).await?.facts;
            timings.componentize_ms = facts.componentize_ms;
            timings.compile_ms = facts.compile_ms;
            (facts.handler, facts.profile)
        };
        let began = Instant::now();
        let what = What { digest, handler, profile };
        let grant = self.grant(tenant, name, &manifest, &limits);
        let id = ProgramId::next();
        let program = Arc::new(self.loader.program(id, what, grant).await?);
        self.prove(&program, &limits).await?;
        let loaded = program.id;
        timings.load_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);

        let new = NewVersion { digest, size_bytes, handler, profile, manifest };
        let _order = self.routing.lock().await;
        let Published { function, version, created, dropped } =
            self.catalog.publish_active(tenant, name, &new).await?;
        faults::pass("deploy.committed");
        let route = self.table.now().find(tenant.as_str(), name.as_str()).cloned();
        let answering = route.iter().flat_map(|route| &route.versions);
        let same = answering.map(|(live, _)| live).find(|live| live.number == version.number);
        // Deployed again while it answers: its instances stay as they are.
        let live = same.cloned().inspect(|live| live.mended()).unwrap_or_else(|| {
            let live = self.live(id, &version, limits, program.grant.clone());
            live.adopt(program);
            live
        });
        self.route(&function, vec![(live, 1)]).await;
        self.loader.want_better(what, loaded);
        let unused = dropped.into_iter().map(|version| version.digest).collect();
        Ok((Deployed { function, version, created, timings }, unused))
    }

    /// Makes one instance and throws it away: start-up code that traps, loops or needs too much is found out now, in the heavy
    /// lane, as it may be anything.
    pub(super) async fn prove(&self, program: &Arc<Program>, limits: &Limits) -> Result<(), DeployError> {
        let meter = Arc::new(Meter::default());
        let mut proof = prove_ahead(program.clone(), (limits.cpu_ms, meter.clone()));
        let group = Group::of_proofs(&program.grant.account);
        let starts = self.heavy.run(group, move |cx, pulse| proof.poll(cx, pulse));
        let panicked = || Err(SpawnError::given_up("the host panicked"));
        let wall = std::time::Duration::from_millis(limits.wall_ms);
        let started = tokio::time::timeout(wall, starts).await;
        match started.map(|started| started.flatten().unwrap_or_else(panicked)) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(SpawnError::Full)) => {
                // No slot to try it in is no fault of the upload: its first call will tell.
                tracing::warn!("no slot was free to prove a version ready");
                Ok(())
            }
            Ok(Err(SpawnError::Guest(_))) if meter.memory_short() => {
                // Nor is it that the server has no memory left just now.
                tracing::warn!("no memory was left to prove a version ready");
                Ok(())
            }
            Ok(Err(SpawnError::Guest(error))) => {
                let outcome = verdict::of_error(&error, &meter);
                let text = format!("{} {}", outcome.code(), outcome.detail());
                Err(DeployError::NotReady(text.trim_end().to_owned()))
            }
            Err(_) => Err(DeployError::NotReady("timeout".to_owned())),
        }
    }

    /// What answers, and what its calls left behind.
    #[must_use]
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Moves the activation, in the catalog and then in the table.
    ///
    /// # Errors
    /// No such version, weights that make no sense, or another change since `expected`.
    pub async fn activate(
        &self,
        tenant: &TenantName,
        name: &FunctionName,
        weights: &[Weight],
        expected: Option<u64>,
    ) -> Result<Function, DeployError> {
        for weight in weights {
            // Loaded before it answers, so that a version that cannot be is refused while another one serves.
            let version = self.catalog.get_version(tenant, name, weight.version).await?;
            let limits = self.clamped(&version.manifest);
            let grant = self.grant(tenant, name, &version.manifest, &limits);
            let Version { digest, handler, profile, .. } = version;
            let what = What { digest, handler, profile };
            self.loader.program(ProgramId::next(), what, grant).await?;
        }
        let _order = self.routing.lock().await;
        // Read before the commit: nothing after it may fail, or the catalog and the table would say different things.
        // Whoever could delete a version waits for the same lock, and a version never changes.
        let mut versions = Vec::with_capacity(weights.len());
        for weight in weights {
            versions.push(self.catalog.get_version(tenant, name, weight.version).await?);
        }
        versions.sort_unstable_by_key(|version| version.number);
        let function = self.catalog.activate(tenant, name, weights, expected).await?;
        let route = self.table.now().find(tenant.as_str(), name.as_str()).cloned();
        let old = route.map(|route| route.versions.clone()).unwrap_or_default();
        let lives = self.lives(&function, &versions, &old);
        self.route(&function, lives).await;
        Ok(function)
    }

    /// Swaps a route and retires the versions that no longer answer.
    async fn route(&self, function: &Function, versions: Vec<(Arc<Live>, u32)>) {
        let stays: Vec<_> = versions.iter().map(|(live, _)| live.id).collect();
        let old = self.table.put(&function.tenant, &function.name, versions, function.paused);
        let gone = old.iter().flat_map(|route| &route.versions).map(|(live, _)| live);
        let gone: Vec<_> = gone.filter(|live| !stays.contains(&live.id)).cloned().collect();
        self.retire(&gone).await;
    }

    /// Fills the table with everything that is active. Loads nothing: the first call does.
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub async fn restore(&self) -> Result<(), CatalogError> {
        let mut routes = Vec::new();
        self.catalog.in_parts(|part| routes.extend(self.restored(part))).await?;
        self.table.fill(routes);
        Ok(())
    }

    fn restored(&self, part: Snapshot) -> impl Iterator<Item = Arc<Route>> {
        for damaged in &part.damaged {
            tracing::error!(key = damaged.key, reason = damaged.reason, "a function cannot be served");
        }
        part.functions.into_iter().map(|mut active| {
            let account = self.table.accounts.of(&active.function.tenant);
            // One name for all of a tenant's functions, and not one that was read with each.
            active.function.tenant = account.tenant.clone();
            let (tenant, name) = (active.function.tenant.clone(), active.function.name.clone());
            let shared = Shared::new(&self.table.records, account, &name);
            let lives = self.lives(&active.function, &active.versions, &[]);
            Arc::new(Route::new((tenant, name), shared, lives, active.function.paused))
        })
    }

    /// The live versions of an activation, taking over those that answer already.
    fn lives(
        &self,
        function: &Function,
        versions: &[Version],
        old: &[(Arc<Live>, u32)],
    ) -> Vec<(Arc<Live>, u32)> {
        let weights = function.activation.iter().flat_map(|activation| &activation.weights);
        let weight_of =
            |version: &Version| weights.clone().find(|w| w.version == version.number).map_or(1, |w| w.weight);
        let live_of = |version: &Version| {
            let answering = old.iter().map(|(live, _)| live);
            let same = answering.into_iter().find(|live| live.number == version.number);
            same.cloned().unwrap_or_else(|| {
                let limits = self.clamped(&version.manifest);
                let grant = self.grant(&function.tenant, &function.name, &version.manifest, &limits);
                self.live(ProgramId::next(), version, limits, grant)
            })
        };
        versions.iter().map(|version| (live_of(version), weight_of(version))).collect()
    }

    /// The limits of a version that was accepted before; a ceiling that has come down since wins.
    fn clamped(&self, manifest: &Manifest) -> Limits {
        manifest.limits.clamp(&self.policy.defaults, &self.policy.ceiling)
    }

    fn grant(&self, tenant: &TenantName, name: &FunctionName, manifest: &Manifest, limits: &Limits) -> Grant {
        let variables = manifest.variables.iter().map(|(name, value)| (name.clone(), value.clone()));
        Grant {
            variables: variables.collect(),
            memory_bytes: limits.memory_bytes,
            table_elements: limits.table_elements,
            log: GuestLog::new(format!("{tenant}/{name}")),
            account: self.table.accounts.of(tenant),
        }
    }

    fn live(&self, id: ProgramId, version: &Version, limits: Limits, grant: Grant) -> Arc<Live> {
        let mut breaker = self.policy.breaker;
        breaker.enabled &= version.manifest.breaker.is_none_or(|choice| choice.enabled);
        let facts = Facts {
            number: version.number,
            digest: version.digest,
            handler: version.handler,
            profile: version.profile,
            limits,
            max_requests: version.manifest.reuse.map_or(1, |reuse| reuse.max_requests),
            retry: version.manifest.retry.is_some_and(|choice| choice.enabled),
            grant,
            breaker,
            server_timing: version.manifest.server_timing.unwrap_or(self.policy.server_timing),
        };
        Live::new(id, facts)
    }
}
