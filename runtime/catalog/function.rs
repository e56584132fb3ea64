//! Functions: found, listed and deleted. They are made by publishing their first version, never without one.
//! Must never change a function's versions without changing its own record: its revision guards them all.

use serde::{Deserialize, Serialize};

use super::activation::Activation;
use super::id::{FunctionId, TenantId};
use super::record::{encode, function_key, functions_prefix, versions_prefix};
use super::tenant::Tenant;
use super::version::Version;
use super::{ATTEMPTS, Catalog, CatalogError, Loaded, Tried};
use crate::model::name::{FunctionName, TenantName};
use crate::storage::Commit;

/// What is called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Function {
    /// Never used again.
    pub id: FunctionId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Whose it is, by name.
    pub tenant: TenantName,
    /// Unique within its tenant at any one time.
    pub name: FunctionName,
    /// When its first version was published, in milliseconds since 1970.
    pub created_ms: u64,
    /// The number that the next version gets.
    pub next_version: u32,
    /// Which versions answer; nothing does before the first activation.
    pub activation: Option<Activation>,
    /// Whether it is to answer nobody until it is resumed. Not there in what was stored before there were pauses.
    #[serde(default)]
    pub paused: bool,
}

/// What went with a function.
#[derive(Clone, Debug)]
pub struct DeletedFunction {
    /// The function.
    pub function: Function,
    /// All its versions.
    pub versions: Vec<Version>,
}

impl Catalog {
    /// The function of that name.
    ///
    /// # Errors
    /// [`CatalogError::NoSuchTenant`].
    pub async fn get_function(
        &self,
        tenant: &TenantName,
        name: &FunctionName,
    ) -> Result<Option<Function>, CatalogError> {
        let tenant = self.tenant(tenant).await?;
        let found = self.load(function_key(tenant.record.id, name)).await?;
        Ok(found.map(|loaded| loaded.record))
    }

    /// A tenant's functions by name, those after `after`, at most `limit`; none at all is the end.
    ///
    /// # Errors
    /// [`CatalogError::NoSuchTenant`].
    pub async fn list_functions(
        &self,
        tenant: &TenantName,
        after: Option<&FunctionName>,
        limit: usize,
    ) -> Result<Vec<Function>, CatalogError> {
        let id = self.tenant(tenant).await?.record.id;
        let after = after.map(|name| function_key(id, name));
        let page = self.page(&functions_prefix(id), after.as_deref(), limit).await?;
        Ok(page.into_iter().map(|loaded| loaded.record).collect())
    }

    /// Deletes a function with all its versions, in one commit.
    ///
    /// # Errors
    /// [`CatalogError::NoSuchTenant`] or [`CatalogError::NoSuchFunction`].
    pub async fn delete_function(
        &self,
        tenant: &TenantName,
        name: &FunctionName,
    ) -> Result<DeletedFunction, CatalogError> {
        for _ in 0..ATTEMPTS {
            let (_, function) = self.function(tenant, name).await?;
            let versions = self.all::<Version>(&versions_prefix(function.record.id)).await?;
            let keys = versions.iter().map(|version| version.key.clone());
            let commit = Commit {
                expect: vec![function.unchanged()],
                deletes: keys.chain([function.key.clone()]).collect(),
                ..Commit::default()
            };
            if self.try_commit(commit).await? == Tried::Done {
                return Ok(DeletedFunction {
                    function: function.record,
                    versions: versions.into_iter().map(|loaded| loaded.record).collect(),
                });
            }
        }
        Err(CatalogError::Contended)
    }

    /// The function and its tenant with their revisions.
    pub(super) async fn function(
        &self,
        tenant: &TenantName,
        name: &FunctionName,
    ) -> Result<(Loaded<Tenant>, Loaded<Function>), CatalogError> {
        let owner = self.tenant(tenant).await?;
        let found = self.load(function_key(owner.record.id, name)).await?;
        let function = found
            .ok_or_else(|| CatalogError::NoSuchFunction { tenant: tenant.clone(), function: name.clone() })?;
        Ok((owner, function))
    }

    /// Replaces the record of a function by what was made of it, if that is anything else.
    pub(super) async fn try_change(
        &self,
        owner: &Loaded<Tenant>,
        found: &Loaded<Function>,
        function: &Function,
    ) -> Result<Tried, CatalogError> {
        if *function == found.record {
            return Ok(Tried::Done);
        }
        self.try_commit(Commit {
            expect: vec![owner.unchanged(), found.unchanged()],
            puts: vec![(found.key.clone(), encode(&found.key, function)?)],
            ..Commit::default()
        })
        .await
    }
}
