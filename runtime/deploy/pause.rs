//! Pausing a function and resuming it: in the catalog, then in the table, then on every thread.
//! Must never end a request in progress, nor unload what the first one after the pause will need.

use super::pipeline::{DeployError, Deployer};
use crate::catalog::Function;
use crate::model::name::{FunctionName, TenantName};

impl Deployer {
    /// Pauses a function, or resumes it. From a pause on it has no ready instances; its program stays loaded until others
    /// need the place, so that what follows the pause is not cold.
    ///
    /// # Errors
    /// No such function, or another change since `expected`.
    pub async fn set_paused(
        &self,
        tenant: &TenantName,
        name: &FunctionName,
        paused: bool,
        expected: Option<u64>,
    ) -> Result<Function, DeployError> {
        let _order = self.routing.lock().await;
        let function = self.catalog.set_paused(tenant, name, paused, expected).await?;
        let route = self.table.now().find(tenant.as_str(), name.as_str()).cloned();
        // Without an activation there is no route: it begins paused, once it has one.
        let Some(route) = route else { return Ok(function) };
        self.table.put(tenant, name, route.versions.clone(), paused);
        if paused {
            self.forget(route.versions.iter().map(|(live, _)| live)).await;
        }
        Ok(function)
    }
}
