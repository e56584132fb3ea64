//! Tenants: made, listed and deleted. A tenant's name can be given away again, its id cannot.
//! Must never leave half a tenant visible: its own record decides, and what it owned is removed after it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::function::Function;
use super::id::TenantId;
use super::record::{
    DELETIONS, TENANTS, decode, deletion_key, encode, functions_prefix, now_ms, tenant_key, versions_prefix,
};
use super::version::Stored;
use super::{ATTEMPTS, Catalog, CatalogError, Loaded, Tried};
use crate::model::name::TenantName;
use crate::model::version::Digest;
use crate::storage::{COMMIT_KEYS, Commit};

/// Who owns functions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenant {
    /// Never used again.
    pub id: TenantId,
    /// Unique at any one time.
    pub name: TenantName,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
}

/// What went with a tenant.
#[derive(Clone, Debug)]
pub struct DeletedTenant {
    /// The tenant.
    pub tenant: Tenant,
    /// All its functions.
    pub functions: Vec<Function>,
    /// What its versions were made of; another tenant's may be made of the same.
    pub digests: BTreeSet<Digest>,
}

/// Functions looked at between two commits of a deletion.
const PURGE_PAGE: usize = 100;

impl Catalog {
    /// Makes sure that the default tenant is there, whatever the limit on tenants says.
    ///
    /// # Errors
    /// The storage fails.
    pub async fn ensure_default_tenant(&self) -> Result<Tenant, CatalogError> {
        let (tenant, _) = self.put_tenant_among(&TenantName::default_tenant(), usize::MAX).await?;
        Ok(tenant)
    }

    /// The tenant of that name, made if there is none; says whether it was made.
    ///
    /// # Errors
    /// [`CatalogError::TooManyTenants`].
    pub async fn put_tenant(&self, name: &TenantName) -> Result<(Tenant, bool), CatalogError> {
        self.put_tenant_among(name, self.bounds.tenants).await
    }

    /// The tenant of that name.
    ///
    /// # Errors
    /// The storage fails.
    pub async fn get_tenant(&self, name: &TenantName) -> Result<Option<Tenant>, CatalogError> {
        let found = self.load(tenant_key(name)).await?;
        Ok(found.map(|loaded| loaded.record))
    }

    /// Tenants by name, those after `after`, at most `limit`; none at all is the end.
    ///
    /// # Errors
    /// The storage fails.
    pub async fn list_tenants(
        &self,
        after: Option<&TenantName>,
        limit: usize,
    ) -> Result<Vec<Tenant>, CatalogError> {
        let after = after.map(tenant_key);
        let page = self.page(TENANTS, after.as_deref(), limit).await?;
        Ok(page.into_iter().map(|loaded| loaded.record).collect())
    }

    /// Deletes a tenant with all its functions and versions.
    ///
    /// One commit removes the tenant's record and writes down that its functions are to follow. From then on nothing
    /// of it can be reached or added, since every way to a function leads through that record. The functions follow in
    /// bounded commits; if those fail or the process dies, then the next start goes on with them.
    ///
    /// # Errors
    /// [`CatalogError::DefaultTenant`] or [`CatalogError::NoSuchTenant`].
    pub async fn delete_tenant(&self, name: &TenantName) -> Result<DeletedTenant, CatalogError> {
        if name.is_default() {
            return Err(CatalogError::DefaultTenant);
        }
        for _ in 0..ATTEMPTS {
            let tenant = self.tenant(name).await?;
            let deletion = deletion_key(tenant.record.id);
            let commit = Commit {
                expect: vec![tenant.unchanged()],
                deletes: vec![tenant.key.clone()],
                puts: vec![(deletion.clone(), encode(&deletion, &tenant.record)?)],
                at_most: Vec::new(),
            };
            if self.try_commit(commit).await? == Tried::Done {
                return self.deleted(tenant.record).await;
            }
        }
        Err(CatalogError::Contended)
    }

    /// Goes on with the deletions that an earlier process began.
    pub(super) async fn finish_deletions(&self) -> Result<(), CatalogError> {
        for tenant in self.all::<Tenant>(DELETIONS).await? {
            self.purge(tenant.record.id).await?;
        }
        Ok(())
    }

    /// The tenant with its revision, for a commit that needs it to be still there.
    pub(super) async fn tenant(&self, name: &TenantName) -> Result<Loaded<Tenant>, CatalogError> {
        self.load(tenant_key(name)).await?.ok_or_else(|| CatalogError::NoSuchTenant(name.clone()))
    }

    async fn put_tenant_among(
        &self,
        name: &TenantName,
        limit: usize,
    ) -> Result<(Tenant, bool), CatalogError> {
        for _ in 0..ATTEMPTS {
            let key = tenant_key(name);
            if let Some(found) = self.load(key.clone()).await? {
                return Ok((found.record, false));
            }
            let tenant = Tenant { id: TenantId::generate(), name: name.clone(), created_ms: now_ms() };
            let commit = Commit {
                expect: vec![(key.clone(), None)],
                puts: vec![(key.clone(), encode(&key, &tenant)?)],
                deletes: Vec::new(),
                at_most: vec![(TENANTS.to_owned(), limit)],
            };
            match self.try_commit(commit).await? {
                Tried::Done => return Ok((tenant, true)),
                Tried::TooMany => return Err(CatalogError::TooManyTenants { limit }),
                Tried::Again => {}
            }
        }
        Err(CatalogError::Contended)
    }

    async fn deleted(&self, tenant: Tenant) -> Result<DeletedTenant, CatalogError> {
        let functions = self.all(&functions_prefix(tenant.id)).await?;
        let digests = match self.purge(tenant.id).await {
            Ok(digests) => digests,
            Err(error) => {
                // The tenant is gone whatever becomes of its remains, so its deletion did not fail.
                tracing::warn!(tenant = %tenant.name, id = %tenant.id, ?error,
                    "a deleted tenant's functions are left to be removed at the next start");
                BTreeSet::new()
            }
        };
        Ok(DeletedTenant {
            tenant,
            functions: functions.into_iter().map(|loaded| loaded.record).collect(),
            digests,
        })
    }

    /// Removes what a deleted tenant owned, then the note that it is to be removed. A record that cannot be read is
    /// removed like any other.
    async fn purge(&self, tenant: TenantId) -> Result<BTreeSet<Digest>, CatalogError> {
        let mut digests = BTreeSet::new();
        loop {
            let prefix = functions_prefix(tenant);
            let page = self.storage.scan(&prefix, None, PURGE_PAGE).await?;
            if page.is_empty() {
                break;
            }
            let mut keys = Vec::new();
            for entry in page {
                let mut gone = match decode::<Function>(&entry.key, &entry.value) {
                    Ok(function) => self.purged_versions(&function, &mut digests).await?,
                    Err(_) => Vec::new(),
                };
                // A function goes with its last versions: without it, they could not be found again.
                gone.push(entry.key);
                if keys.len() + gone.len() > COMMIT_KEYS {
                    self.remove(std::mem::take(&mut keys)).await?;
                }
                keys.append(&mut gone);
            }
            self.remove(keys).await?;
        }
        self.remove(vec![deletion_key(tenant)]).await?;
        Ok(digests)
    }

    async fn purged_versions(
        &self,
        function: &Function,
        digests: &mut BTreeSet<Digest>,
    ) -> Result<Vec<String>, CatalogError> {
        let prefix = versions_prefix(function.id);
        let mut keys: Vec<String> = Vec::new();
        loop {
            let after = keys.last().map(String::as_str);
            let page = self.storage.scan(&prefix, after, usize::MAX).await?;
            if page.is_empty() {
                return Ok(keys);
            }
            for entry in page {
                let stored = decode::<Stored>(&entry.key, &entry.value);
                digests.extend(stored.ok().map(|stored| stored.digest));
                keys.push(entry.key);
            }
        }
    }

    async fn remove(&self, keys: Vec<String>) -> Result<(), CatalogError> {
        let commit = Commit { deletes: keys, ..Commit::default() };
        self.try_commit(commit).await.map(drop)
    }
}
