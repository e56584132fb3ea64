//! Versions: what was uploaded, what it may do, and its number. Written once, never changed.
//! Must never say which of them answers: that is the activation.

use serde::{Deserialize, Serialize};

use super::function::Function;
use super::id::{FunctionId, VersionId};
use super::record::{decode, version_key, versions_prefix};
use super::{Catalog, CatalogError};
use crate::model::manifest::Manifest;
use crate::model::name::{FunctionName, TenantName};
use crate::model::version::{Digest, Handler, Profile, VersionNumber};

/// One version of a function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Never used again: programs and artifacts are known by it.
    pub id: VersionId,
    /// Whose version.
    pub function_id: FunctionId,
    /// 1, 2, 3; never used again within the function.
    pub number: VersionNumber,
    /// The blob that was uploaded.
    pub digest: Digest,
    /// Its size.
    pub size_bytes: u64,
    /// Which export answers requests.
    pub handler: Handler,
    /// Which engine it runs on.
    pub profile: Profile,
    /// What the developer said beside the wasm.
    pub manifest: Manifest,
    /// When it was published, in milliseconds since 1970.
    pub created_ms: u64,
}

/// What a version is made of before it has a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewVersion {
    /// The blob that was uploaded, durable already.
    pub digest: Digest,
    /// Its size.
    pub size_bytes: u64,
    /// Which export answers requests.
    pub handler: Handler,
    /// Which engine it runs on.
    pub profile: Profile,
    /// What the developer said beside the wasm, checked already.
    pub manifest: Manifest,
}

/// As much of a version as a count of references needs.
#[derive(Deserialize)]
pub(super) struct Stored {
    pub(super) digest: Digest,
}

impl Version {
    /// Whether it is what would be published again.
    #[must_use]
    pub fn equals(&self, digest: Digest, manifest: &Manifest) -> bool {
        self.digest == digest && self.manifest == *manifest
    }
}

impl Catalog {
    /// The version with that number.
    ///
    /// # Errors
    /// [`CatalogError::NoSuchTenant`], [`CatalogError::NoSuchFunction`] or [`CatalogError::NoSuchVersion`].
    pub async fn get_version(
        &self,
        tenant: &TenantName,
        function: &FunctionName,
        number: VersionNumber,
    ) -> Result<Version, CatalogError> {
        let (_, found) = self.function(tenant, function).await?;
        let version = self.load(version_key(found.record.id, number)).await?;
        version
            .map(|loaded| loaded.record)
            .ok_or_else(|| CatalogError::NoSuchVersion { function: function.clone(), version: number })
    }

    /// A function's versions by number, those after `after`, at most `limit`; none at all is the end.
    ///
    /// # Errors
    /// [`CatalogError::NoSuchTenant`] or [`CatalogError::NoSuchFunction`].
    pub async fn list_versions(
        &self,
        tenant: &TenantName,
        function: &FunctionName,
        after: Option<VersionNumber>,
        limit: usize,
    ) -> Result<Vec<Version>, CatalogError> {
        let (_, found) = self.function(tenant, function).await?;
        let id = found.record.id;
        let after = after.map(|number| version_key(id, number));
        let page = self.page(&versions_prefix(id), after.as_deref(), limit).await?;
        Ok(page.into_iter().map(|loaded| loaded.record).collect())
    }

    /// The version that publishing the same again would give, so that a deploy can skip what it has done before.
    ///
    /// # Errors
    /// [`CatalogError::NoSuchTenant`].
    pub async fn lookup_equal(
        &self,
        tenant: &TenantName,
        function: &FunctionName,
        digest: Digest,
        manifest: &Manifest,
    ) -> Result<Option<Version>, CatalogError> {
        let Some(found) = self.get_function(tenant, function).await? else {
            return Ok(None);
        };
        let versions = self.all::<Version>(&versions_prefix(found.id)).await?;
        let mut versions = versions.into_iter().map(|loaded| loaded.record);
        Ok(versions.find(|version| version.equals(digest, manifest)))
    }

    /// The versions of a function that answer, in the order of their weights; `None` if one is no longer there,
    /// because the function has changed since it was read.
    ///
    /// # Errors
    /// The storage fails.
    pub async fn active_versions(&self, function: &Function) -> Result<Option<Vec<Version>>, CatalogError> {
        let keys = active_keys(function);
        let found = self.storage.get_many(keys.clone()).await?;
        decode_versions(&keys, found)
    }
}

/// The keys of the versions that answer, in the order of their weights.
pub(super) fn active_keys(function: &Function) -> Vec<String> {
    let weights = function.activation.iter().flat_map(|a| &a.weights);
    weights.map(|weight| version_key(function.id, weight.version)).collect()
}

pub(super) fn decode_versions<'a, R>(
    keys: impl IntoIterator<Item = &'a String>,
    found: impl IntoIterator<Item = Option<(Vec<u8>, R)>>,
) -> Result<Option<Vec<Version>>, CatalogError> {
    let decode_one = |(key, value): (&String, Option<(Vec<u8>, R)>)| {
        value.map(|(bytes, _)| decode(key, &bytes)).transpose()
    };
    keys.into_iter().zip(found).map(decode_one).collect()
}
