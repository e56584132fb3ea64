//! Taking things away: versions that no longer answer, functions, tenants, and blobs that nothing refers to.
//! Must never remove a blob while a deploy may be about to refer to it.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::live::Live;
use super::pipeline::{DeployError, Deployer};
use crate::catalog::{DeletedFunction, DeletedTenant};
use crate::model::name::{FunctionName, TenantName};
use crate::model::version::Digest;

/// What is made cold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cold {
    /// Ready instances: the next call spawns.
    Instances,
    /// The loaded program too: the next call loads it from disk.
    Program,
}

impl Deployer {
    /// Lets go of versions that no longer answer. Calls in progress end as they will.
    pub(super) async fn retire(&self, gone: &[Arc<Live>]) {
        for live in gone {
            live.unload();
        }
        self.forget(gone).await;
    }

    /// Has every thread throw away the instances of these that nobody uses.
    pub(super) async fn forget<'a>(&self, lives: impl IntoIterator<Item = &'a Arc<Live>>) {
        let ids: Vec<_> = lives.into_iter().flat_map(|live| live.id.all()).collect();
        self.crew.forget(&ids).await;
    }

    /// Makes a function cold. Returns how many of its versions had a program loaded.
    ///
    /// # Errors
    /// No such tenant or function.
    pub async fn cold(
        &self,
        tenant: &TenantName,
        name: &FunctionName,
        drop: Cold,
    ) -> Result<u32, DeployError> {
        let Some(route) = self.table.now().find(tenant.as_str(), name.as_str()).cloned() else {
            self.catalog.get_function(tenant, name).await?;
            return Err(no_function(tenant, name));
        };
        let lives = route.versions.iter().map(|(live, _)| live);
        let mut loaded = 0;
        for live in lives.clone() {
            loaded += u32::from(match drop {
                Cold::Instances => live.loaded().is_some(),
                Cold::Program => live.unload(),
            });
        }
        let ids: Vec<_> = lives.flat_map(|live| live.id.all()).collect();
        match drop {
            Cold::Instances => self.crew.clear(&ids).await,
            Cold::Program => self.crew.forget(&ids).await,
        }
        Ok(loaded)
    }

    /// Deletes a function with all its versions.
    ///
    /// # Errors
    /// No such tenant or function.
    pub async fn delete_function(&self, tenant: &TenantName, name: &FunctionName) -> Result<(), DeployError> {
        let _order = self.routing.lock().await;
        let DeletedFunction { versions, .. } = self.catalog.delete_function(tenant, name).await?;
        let old = self.table.remove(tenant, name);
        let gone: Vec<_> =
            old.iter().flat_map(|route| &route.versions).map(|(live, _)| live.clone()).collect();
        self.retire(&gone).await;
        self.sweep(versions.into_iter().map(|version| version.digest)).await;
        Ok(())
    }

    /// Deletes a tenant with all its functions.
    ///
    /// # Errors
    /// No such tenant, or the default one.
    pub async fn delete_tenant(&self, tenant: &TenantName) -> Result<(), DeployError> {
        let _order = self.routing.lock().await;
        let DeletedTenant { digests, .. } = self.catalog.delete_tenant(tenant).await?;
        let old = self.table.remove_tenant(tenant);
        let gone: Vec<_> =
            old.iter().flat_map(|route| &route.versions).map(|(live, _)| live.clone()).collect();
        self.retire(&gone).await;
        self.sweep(digests).await;
        Ok(())
    }

    /// Removes those of these blobs that nothing refers to. Skipped while anything is being deployed: what is left
    /// over goes when [`Deployer::sweep_left_over`] finds nothing in the way.
    pub async fn sweep(&self, digests: impl IntoIterator<Item = Digest>) {
        let mut digests = digests.into_iter().peekable();
        // Most deploys leave nothing over, and to know what is referred to is to read the record of every version.
        if digests.peek().is_none() {
            return;
        }
        let Ok(_alone) = self.blobs_in_use.try_write() else {
            self.left_over.store(true, Relaxed);
            return;
        };
        let referenced = match self.catalog.referenced_digests().await {
            Ok(referenced) => referenced,
            Err(error) => {
                tracing::warn!(%error, "unused blobs stay");
                return;
            }
        };
        for digest in digests {
            if referenced.contains(&digest) {
                continue;
            }
            if let Err(error) = self.loader.discard(digest).await {
                tracing::warn!(%error, %digest, "an unused blob stays");
            }
        }
    }

    /// Remembers that there may be a blob that nothing refers to.
    pub fn leave_over(&self) {
        self.left_over.store(true, Relaxed);
    }

    /// Removes what earlier sweeps had to leave. Called about once a second.
    pub async fn sweep_left_over(&self) {
        if self.left_over.swap(false, Relaxed) {
            self.sweep_all().await;
        }
    }

    /// Removes every blob and artifact that nothing refers to: what an interrupted or refused deploy or an older engine
    /// left behind.
    pub async fn sweep_all(&self) {
        match self.loader.blobs().list().await {
            Ok(blobs) => self.sweep(blobs.into_iter().map(|blob| blob.digest)).await,
            Err(error) => tracing::warn!(%error, "unused blobs stay"),
        }
        self.sweep_artifacts().await;
    }

    async fn sweep_artifacts(&self) {
        let Ok(_alone) = self.blobs_in_use.try_write() else {
            self.left_over.store(true, Relaxed);
            return;
        };
        let swept = match self.catalog.referenced_digests().await {
            Ok(referenced) => self.loader.keep_artifacts(&referenced).await.map_err(DeployError::from),
            Err(error) => Err(error.into()),
        };
        match swept {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "unused artifacts were removed"),
            Err(error) => tracing::warn!(%error, "unused artifacts stay"),
        }
    }
}

fn no_function(tenant: &TenantName, function: &FunctionName) -> DeployError {
    let (tenant, function) = (tenant.clone(), function.clone());
    DeployError::Catalog(crate::catalog::CatalogError::NoSuchFunction { tenant, function })
}
