//! The second compilation of what answers already: for speed, one at a time, and then in the place of the first.
//! Must never make a deploy or a call wait, nor leave an artifact of what was removed meanwhile.

use std::sync::Arc;
use std::time::Instant;

use super::backlog::Job;
use super::live::Live;
use super::pipeline::{DeployError, Deployer};
use crate::catalog::Version;
use crate::engine::compile::{CompileError, CompileLimit};
use crate::model::name::{FunctionName, TenantName};
use crate::model::version::Tier;
use crate::tasks;

/// Versions made of one upload whose programs are loaded twice at once.
const AT_ONCE: usize = 64;

/// How an optimisation ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// What was compiled for speed answers.
    Done,
    /// Nobody is made of it any more.
    Gone,
}

impl Deployer {
    /// Compiles for speed what was compiled quickly, as it comes. Never returns.
    pub async fn optimise(self: Arc<Self>) {
        loop {
            let job = self.loader.backlog.next().await;
            let began = Instant::now();
            let one = self.clone();
            let outcome = match tasks::detached(async move { one.optimise_one(job).await }).await {
                Ok(Ok(Ended::Done)) => {
                    tracing::debug!(digest = %job.digest, "compiled for speed");
                    "done"
                }
                Ok(Ok(Ended::Gone)) => "gone",
                Ok(Err(error)) => {
                    if is_hopeless(&error) {
                        self.loader.backlog.give_up(job);
                    }
                    let source = std::error::Error::source(&error);
                    let digest = job.digest;
                    tracing::warn!(%digest, %error, source, "it goes on as it was compiled first");
                    "failed"
                }
                // A panic has said why.
                Err(_) => "failed",
            };
            let took = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            metrics::counter!("spawnpoint_optimisations_total", "outcome" => outcome).increment(1);
            metrics::counter!("spawnpoint_optimisation_milliseconds_total").increment(took);
            metrics::gauge!("spawnpoint_optimisations_pending").decrement(1);
        }
    }

    async fn optimise_one(&self, job: Job) -> Result<Ended, DeployError> {
        if self.made_of(job).is_empty() {
            // Replaced or removed while it waited; should it answer again, it is loaded again.
            return Ok(Ended::Gone);
        }
        if self.loader.tiers(vec![(job.digest, job.profile)]).await != [Some(Tier::Speed)] {
            let Some(artifact) = self.loader.optimised(job).await? else { return Ok(Ended::Gone) };
            // Not before: a compilation takes its time, and meanwhile nothing could be removed. From here on whoever
            // removes the last version made of it finds its new artifact, too.
            let _kept = self.keep_blobs().await;
            if !self.catalog.referenced_digests().await?.contains(&job.digest) {
                return Ok(Ended::Gone);
            }
            self.loader.improve(job, artifact).await?;
        }
        for some in self.made_of(job).chunks(AT_ONCE) {
            self.take_over(some).await?;
        }
        Ok(Ended::Done)
    }

    /// The versions that answer and are made of this.
    fn made_of(&self, job: Job) -> Vec<Arc<Live>> {
        let routes = self.table.now();
        let lives = routes.all().flat_map(|route| &route.versions).map(|(live, _)| live);
        lives.filter(|live| (live.digest, live.profile) == (job.digest, job.profile)).cloned().collect()
    }

    /// Has the better programs answer in the place of those that do, where one does. Calls in progress end on the old one.
    async fn take_over(&self, lives: &[Arc<Live>]) -> Result<(), DeployError> {
        let mut loaded = Vec::with_capacity(lives.len());
        for live in lives {
            let old = live.loaded().filter(|program| program.id.tier() == Tier::Fast);
            let Some(old) = old else { continue };
            let new = Arc::new(self.loader.load(live).await?);
            // Once more, though it is the same component: by then its first pages are mapped, too.
            self.prove(&new, &live.limits).await?;
            if new.id.tier() == Tier::Speed {
                loaded.push((live, old, new));
            }
        }
        let pairs: Vec<_> = loaded.iter().map(|(_, old, new)| (new.clone(), old.id)).collect();
        self.crew.prepare(&pairs).await;
        // Where the old one answers no longer, every thread was told to forget both; but one may have been told of the new
        // one after that.
        let goes = loaded.into_iter().map(|(live, old, new)| {
            let id = new.id;
            if live.replace(&old, new) { old.id } else { id }
        });
        self.crew.forget(&goes.collect::<Vec<_>>()).await;
        Ok(())
    }

    /// How thoroughly each of these versions of a function is compiled: as it is loaded, else on disk.
    pub async fn tiers(
        &self,
        tenant: &TenantName,
        name: &FunctionName,
        versions: &[Version],
    ) -> Vec<Option<Tier>> {
        let kept = versions.iter().map(|version| (version.digest, version.profile)).collect();
        let mut tiers = self.loader.tiers(kept).await;
        tiers.resize(versions.len(), None);
        let routes = self.table.now();
        for (live, _) in routes.find(tenant.as_str(), name.as_str()).iter().flat_map(|route| &route.versions)
        {
            let place = versions.iter().position(|version| version.number == live.number);
            if let (Some(place), Some(program)) = (place, live.loaded()) {
                tiers[place] = Some(program.id.tier());
            }
        }
        tiers
    }
}

/// An upload's fault stays what it is; one of the machine's, or its being busy, is tried again at the next load.
fn is_hopeless(error: &DeployError) -> bool {
    match error {
        DeployError::Compile(CompileError::Limit { which, .. }) => *which != CompileLimit::Wall,
        error => !matches!(error, DeployError::Host(_) | DeployError::Catalog(_)),
    }
}
