//! What is deployed: tenants, their functions, the functions' versions and which of them answer.
//! Must never compile anything, and knows no pool and no HTTP. Every change is one commit, retried on a conflict.

mod activation;
mod function;
mod id;
mod pause;
mod publish;
mod record;
mod snapshot;
mod tenant;
mod version;

#[cfg(test)]
mod tests;

use serde::de::DeserializeOwned;

pub use activation::{Activation, BadActivation, WEIGHT_MAX, Weight};
pub use function::{DeletedFunction, Function};
pub use id::{FunctionId, TenantId, VersionId};
pub use publish::Published;
pub use snapshot::{Active, Damaged, Snapshot};
pub use tenant::{DeletedTenant, Tenant};
pub use version::{NewVersion, Version};

use crate::model::limits::ServerLimits;
use crate::model::name::{FunctionName, TenantName};
use crate::model::version::VersionNumber;
use crate::storage::{Commit, CommitError, Revision, Storage, StorageError};
use record::decode;

/// The catalog; a clone is another handle to the same one.
#[derive(Clone, Debug)]
pub struct Catalog {
    storage: Storage,
    bounds: Bounds,
}

/// How much there may be.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    tenants: usize,
    functions_per_tenant: usize,
    versions_per_function: usize,
}

/// A record with what a compare-and-swap on it needs.
#[derive(Clone, Debug)]
struct Loaded<T> {
    record: T,
    key: String,
    revision: Revision,
}

/// What became of a commit that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tried {
    Done,
    /// Another commit came first: read again and retry.
    Again,
    TooMany,
}

/// Versions of one function however high the operator's limit: a function must go in one commit.
const VERSIONS_MAX: usize = 1_000;
/// How often a commit that lost to another is tried: above this many writers of one function, somebody may lose.
const ATTEMPTS: u32 = 128;

/// Why the catalog did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// There is no such tenant.
    #[error("there is no tenant `{0}`")]
    NoSuchTenant(TenantName),
    /// The tenant has no such function.
    #[error("tenant `{tenant}` has no function `{function}`")]
    NoSuchFunction {
        /// The tenant, which exists.
        tenant: TenantName,
        /// What it lacks.
        function: FunctionName,
    },
    /// The function has no such version.
    #[error("function `{function}` has no version {version}")]
    NoSuchVersion {
        /// The function, which exists.
        function: FunctionName,
        /// What it lacks.
        version: VersionNumber,
    },
    /// The tenant that cannot be deleted.
    #[error("tenant `default` cannot be deleted")]
    DefaultTenant,
    /// One tenant more than allowed.
    #[error("there are {limit} tenants already, the most that this server keeps")]
    TooManyTenants {
        /// The operator's limit.
        limit: usize,
    },
    /// One function more than allowed.
    #[error("tenant `{tenant}` has {limit} functions already, the most that it may have")]
    TooManyFunctions {
        /// Whose functions.
        tenant: TenantName,
        /// The operator's limit.
        limit: usize,
    },
    /// Every version number of the function was given out.
    #[error("function `{0}` has used up its version numbers")]
    NoNumberLeft(FunctionName),
    /// The activation is not the one that the caller has seen.
    #[error("the activation is at revision {current}, not at {expected}")]
    Conflict {
        /// What the caller has seen.
        expected: u64,
        /// What is there; 0 if nothing is active.
        current: u64,
    },
    /// The weights make no activation.
    #[error(transparent)]
    BadActivation(#[from] BadActivation),
    /// Other writers won every time.
    #[error("too many others changed it at the same time")]
    Contended,
    /// A newer program wrote a record.
    #[error(
        "record `{key}` has format {format}, newer than {}, the newest this program knows",
        record::FORMAT
    )]
    NewerFormat {
        /// Its key.
        key: String,
        /// Its format.
        format: u32,
    },
    /// A record cannot be read.
    #[error("record `{key}` is corrupt")]
    Corrupt {
        /// Its key.
        key: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// A version that should answer has no record.
    #[error("one of the active versions {active:?} of function `{function}` is lost")]
    LostVersion {
        /// The function.
        function: FunctionId,
        /// What its activation names.
        active: Vec<u32>,
    },
    /// The storage below failed.
    #[error("the catalog's storage failed")]
    Storage(#[from] StorageError),
}

impl Catalog {
    /// The catalog in `storage`: makes the default tenant and ends what deletions an earlier process left half done.
    ///
    /// # Errors
    /// The storage fails, or a newer program has written to it.
    pub async fn open(storage: Storage, limits: &ServerLimits) -> Result<Self, CatalogError> {
        let size = |limit: u32| usize::try_from(limit).unwrap_or(usize::MAX);
        let catalog = Self {
            storage,
            bounds: Bounds {
                tenants: size(limits.tenants),
                functions_per_tenant: size(limits.functions_per_tenant),
                versions_per_function: size(limits.versions_per_function).clamp(1, VERSIONS_MAX),
            },
        };
        catalog.finish_deletions().await?;
        catalog.ensure_default_tenant().await?;
        Ok(catalog)
    }

    async fn load<T: DeserializeOwned>(&self, key: String) -> Result<Option<Loaded<T>>, CatalogError> {
        let Some((value, revision)) = self.storage.get(&key).await? else {
            return Ok(None);
        };
        let record = decode(&key, &value)?;
        Ok(Some(Loaded { record, key, revision }))
    }

    /// One page of records in key order; an empty one is the end.
    async fn page<T: DeserializeOwned>(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Loaded<T>>, CatalogError> {
        let entries = self.storage.scan(prefix, after, limit).await?;
        let load = |entry: crate::storage::Entry| {
            Ok(Loaded { record: decode(&entry.key, &entry.value)?, key: entry.key, revision: entry.revision })
        };
        entries.into_iter().map(load).collect()
    }

    /// Every record under a prefix that is known to hold few.
    async fn all<T: DeserializeOwned>(&self, prefix: &str) -> Result<Vec<Loaded<T>>, CatalogError> {
        let mut all: Vec<Loaded<T>> = Vec::new();
        loop {
            let after = all.last().map(|loaded| loaded.key.as_str());
            let page = self.page(prefix, after, usize::MAX).await?;
            if page.is_empty() {
                return Ok(all);
            }
            all.extend(page);
        }
    }

    async fn try_commit(&self, commit: Commit) -> Result<Tried, CatalogError> {
        match self.storage.commit(commit).await {
            Ok(_) => Ok(Tried::Done),
            Err(CommitError::Conflict { .. }) => Ok(Tried::Again),
            Err(CommitError::TooMany { .. }) => Ok(Tried::TooMany),
            Err(CommitError::Storage(error)) => Err(error.into()),
        }
    }
}

impl<T> Loaded<T> {
    /// That the record is as it was read; without this, a commit could bring back what another one has deleted.
    fn unchanged(&self) -> (String, Option<Revision>) {
        (self.key.clone(), Some(self.revision))
    }
}
