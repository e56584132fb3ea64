//! Places that tenants share: none of them ever has more than half, and of those who wait each is served in turn.
//! Must never keep anything of a tenant that has no place and waits for none.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use crate::model::name::TenantName;

/// The places.
#[derive(Debug)]
pub struct Shares {
    all: Arc<Semaphore>,
    /// What one tenant may have.
    each: usize,
    tenants: Mutex<HashMap<TenantName, Arc<Semaphore>>>,
}

/// One place, until it is dropped.
#[derive(Debug)]
pub struct Share {
    _of_all: OwnedSemaphorePermit,
    _of_its_tenant: OwnedSemaphorePermit,
}

/// Why there is no place just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// This tenant has all that one may have: so many.
    ByTenant(usize),
    /// Others have the rest.
    ByAll,
}

impl Share {
    /// Gives up the place among all now, and what its tenant may have after this time.
    pub async fn rest(self, time: Duration) {
        let Self { _of_all: all, _of_its_tenant: own } = self;
        drop(all);
        if time > Duration::ZERO {
            tokio::time::sleep(time).await;
        }
        drop(own);
    }
}

impl Shares {
    /// So many places, at least one.
    #[must_use]
    pub fn of(places: usize) -> Self {
        let all = Arc::new(Semaphore::new(places.max(1)));
        Self { all, each: (places / 2).max(1), tenants: Mutex::default() }
    }

    /// A place now or not at all.
    ///
    /// # Errors
    /// [`Taken`].
    pub fn try_enter(&self, tenant: &TenantName) -> Result<Share, Taken> {
        let own = self.tenant(tenant).try_acquire_owned().map_err(|_| Taken::ByTenant(self.each))?;
        let all = self.all.clone().try_acquire_owned().map_err(|_| Taken::ByAll)?;
        Ok(Share { _of_all: all, _of_its_tenant: own })
    }

    /// Waits for a place. Whoever waits for one of all has one of its tenant's: there are few of each, and the first is
    /// served first.
    ///
    /// # Errors
    /// None that happens: the places are never closed.
    pub async fn enter(&self, tenant: &TenantName) -> Result<Share, AcquireError> {
        let own = self.tenant(tenant).acquire_owned().await?;
        let all = self.all.clone().acquire_owned().await?;
        Ok(Share { _of_all: all, _of_its_tenant: own })
    }

    fn tenant(&self, tenant: &TenantName) -> Arc<Semaphore> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        tenants.retain(|_, places| Arc::strong_count(places) > 1);
        let new = || Arc::new(Semaphore::new(self.each));
        tenants.entry(tenant.clone()).or_insert_with(new).clone()
    }
}
