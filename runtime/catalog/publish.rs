//! Publishing: a version gets its number and, if wanted, all requests, in one commit that also drops the oldest.
//! Must never activate what was not proven ready: `deploy` compiles and proves before it calls this.

use super::activation::Weight;
use super::function::Function;
use super::id::{FunctionId, VersionId};
use super::record::{encode, function_key, functions_prefix, now_ms, version_key, versions_prefix};
use super::tenant::Tenant;
use super::version::{NewVersion, Version};
use super::{ATTEMPTS, Catalog, CatalogError, Loaded, Tried};
use crate::model::name::{FunctionName, TenantName};
use crate::model::version::VersionNumber;
use crate::storage::Commit;

/// What publishing did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The function as it is now.
    pub function: Function,
    /// The new version, or the equal one that was there.
    pub version: Version,
    /// Whether the version is new.
    pub created: bool,
    /// Versions that went because there were more than are kept.
    pub dropped: Vec<Version>,
}

/// Everything that the outcome depends on but the time.
pub(super) struct Publishing<'a> {
    pub(super) new: &'a NewVersion,
    pub(super) activate: bool,
    pub(super) keep: usize,
}

impl Catalog {
    /// Stores a version without letting it answer; makes the function if there is none. An equal version that is there
    /// is given back instead.
    ///
    /// # Errors
    /// [`CatalogError::NoSuchTenant`] or [`CatalogError::TooManyFunctions`].
    pub async fn publish(
        &self,
        tenant: &TenantName,
        name: &FunctionName,
        new: &NewVersion,
    ) -> Result<Published, CatalogError> {
        self.publish_as(tenant, name, self.publishing(new, false)).await
    }

    /// Stores a version and gives it all requests, in one commit: whoever looks sees the function as it was before, or
    /// wholly as it is after. An equal version that is there is activated instead.
    ///
    /// # Errors
    /// [`CatalogError::NoSuchTenant`] or [`CatalogError::TooManyFunctions`].
    pub async fn publish_active(
        &self,
        tenant: &TenantName,
        name: &FunctionName,
        new: &NewVersion,
    ) -> Result<Published, CatalogError> {
        self.publish_as(tenant, name, self.publishing(new, true)).await
    }

    /// Whether a version of this function could be published as far as the quota goes, before anybody compiles it. The
    /// commit checks again.
    ///
    /// # Errors
    /// [`CatalogError::NoSuchTenant`] or [`CatalogError::TooManyFunctions`].
    pub async fn check_room(&self, tenant: &TenantName, name: &FunctionName) -> Result<(), CatalogError> {
        let owner = self.tenant(tenant).await?.record;
        let limit = self.bounds.functions_per_tenant;
        let found = self.load::<Function>(function_key(owner.id, name)).await?;
        // One more than there are now may not be too many.
        let full = self.storage.more_than(&functions_prefix(owner.id), limit.saturating_sub(1)).await?;
        if found.is_none() && full {
            return Err(CatalogError::TooManyFunctions { tenant: tenant.clone(), limit });
        }
        Ok(())
    }

    fn publishing<'a>(&self, new: &'a NewVersion, activate: bool) -> Publishing<'a> {
        Publishing { new, activate, keep: self.bounds.versions_per_function }
    }

    async fn publish_as(
        &self,
        tenant: &TenantName,
        name: &FunctionName,
        publishing: Publishing<'_>,
    ) -> Result<Published, CatalogError> {
        for _ in 0..ATTEMPTS {
            let owner = self.tenant(tenant).await?;
            let before: Option<Loaded<Function>> = self.load(function_key(owner.record.id, name)).await?;
            let versions = match &before {
                Some(found) => self.all(&versions_prefix(found.record.id)).await?,
                None => Vec::new(),
            };
            let versions = versions.into_iter().map(|loaded| loaded.record).collect();
            let function = match &before {
                Some(found) => found.record.clone(),
                None => Function::new(&owner.record, name),
            };
            let published = publishing.plan(function, versions, now_ms())?;
            let unchanged = before.as_ref().is_some_and(|found| found.record == published.function);
            if unchanged {
                return Ok(published);
            }
            let commit = self.publish_commit(&owner, before.as_ref(), &published)?;
            match self.try_commit(commit).await? {
                Tried::Done => return Ok(published),
                Tried::Again => {}
                Tried::TooMany => {
                    return Err(CatalogError::TooManyFunctions {
                        tenant: tenant.clone(),
                        limit: self.bounds.functions_per_tenant,
                    });
                }
            }
        }
        Err(CatalogError::Contended)
    }

    fn publish_commit(
        &self,
        owner: &Loaded<Tenant>,
        before: Option<&Loaded<Function>>,
        published: &Published,
    ) -> Result<Commit, CatalogError> {
        let (function, version) = (&published.function, &published.version);
        let key = function_key(function.tenant_id, &function.name);
        let mut commit = Commit {
            // The owner is guarded so that nothing is added to a tenant that is being deleted.
            expect: vec![owner.unchanged(), (key.clone(), before.map(|found| found.revision))],
            puts: vec![(key.clone(), encode(&key, function)?)],
            ..Commit::default()
        };
        if published.created {
            let key = version_key(function.id, version.number);
            commit.puts.push((key.clone(), encode(&key, version)?));
        }
        let dropped = published.dropped.iter();
        commit.deletes = dropped.map(|version| version_key(function.id, version.number)).collect();
        if before.is_none() {
            let functions = functions_prefix(function.tenant_id);
            commit.at_most.push((functions, self.bounds.functions_per_tenant));
        }
        Ok(commit)
    }
}

impl Function {
    /// One without any version; it is never stored like that.
    pub(super) fn new(owner: &Tenant, name: &FunctionName) -> Self {
        Self {
            id: FunctionId::generate(),
            tenant_id: owner.id,
            tenant: owner.name.clone(),
            name: name.clone(),
            created_ms: now_ms(),
            next_version: 1,
            activation: None,
            paused: false,
        }
    }
}

impl Publishing<'_> {
    /// What a function with these versions becomes. The function is unchanged only if its versions are.
    pub(super) fn plan(
        &self,
        mut function: Function,
        mut versions: Vec<Version>,
        now_ms: u64,
    ) -> Result<Published, CatalogError> {
        let new = self.new;
        let equal = versions.iter().find(|version| version.equals(new.digest, &new.manifest));
        let (version, created) = match equal {
            Some(version) => (version.clone(), false),
            None => (self.number(&mut function, now_ms)?, true),
        };
        if self.activate {
            let all = Weight { version: version.number, weight: 1 };
            function.move_to(vec![all], now_ms);
        }
        let mut dropped = Vec::new();
        if created {
            let excess = (versions.len() + 1).saturating_sub(self.keep);
            versions.sort_unstable_by_key(|version| version.number);
            versions.retain(|version| !function.is_active(version.number));
            versions.truncate(excess);
            dropped = versions;
        }
        Ok(Published { function, version, created, dropped })
    }

    fn number(&self, function: &mut Function, now_ms: u64) -> Result<Version, CatalogError> {
        let number = function.next_version;
        function.next_version =
            number.checked_add(1).ok_or_else(|| CatalogError::NoNumberLeft(function.name.clone()))?;
        let new = self.new;
        Ok(Version {
            id: VersionId::generate(),
            function_id: function.id,
            number: VersionNumber(number),
            digest: new.digest,
            size_bytes: new.size_bytes,
            handler: new.handler,
            profile: new.profile,
            manifest: new.manifest.clone(),
            created_ms: now_ms,
        })
    }
}
