//! Pauses: a function that is to answer nobody for a while. A pause moves the revision of the activation, as whoever
//! changes what answers must have seen it. Must never change which versions answer once it has ended.

use super::function::Function;
use super::record::now_ms;
use super::{ATTEMPTS, Catalog, CatalogError, Tried};
use crate::model::name::{FunctionName, TenantName};

impl Function {
    /// Pauses or resumes it; what it is already is no change.
    fn set_paused(&mut self, paused: bool, now_ms: u64) {
        if self.paused == paused {
            return;
        }
        self.paused = paused;
        // Where nothing is active nobody can have seen a revision.
        if let Some(activation) = &mut self.activation {
            activation.revision += 1;
            activation.changed_ms = now_ms;
        }
    }
}

impl Catalog {
    /// Pauses a function, or resumes it. With `expected`, only if the activation is still at that revision (0: nothing
    /// is active). What it is already is no change and no error.
    ///
    /// # Errors
    /// [`CatalogError::Conflict`], or there is no such function.
    pub async fn set_paused(
        &self,
        tenant: &TenantName,
        name: &FunctionName,
        paused: bool,
        expected: Option<u64>,
    ) -> Result<Function, CatalogError> {
        for _ in 0..ATTEMPTS {
            let (owner, found) = self.function(tenant, name).await?;
            let mut function = found.record.clone();
            function.is_expected(expected)?;
            function.set_paused(paused, now_ms());
            if self.try_change(&owner, &found, &function).await? == Tried::Done {
                return Ok(function);
            }
        }
        Err(CatalogError::Contended)
    }
}
