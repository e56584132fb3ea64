//! What a developer may say beside the wasm: limits, variables, reuse, the breaker, retries, times.
//! Must never hold a secret; variables are shown to whoever may read the function.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::limits::Overrides;

/// The manifest of one version, as uploaded and as stored. Unknown keys are refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Manifest {
    /// Limits that differ from the operator's defaults.
    pub limits: Overrides,
    /// The environment the guest sees (`wasi:cli/environment`).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, String>,
    /// Opt-in: let one instance answer more than one request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reuse: Option<Reuse>,
    /// Opt-out: never leave this version alone, however often it fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaker: Option<BreakerChoice>,
    /// Opt-in: have a call that failed answered by another instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetryChoice>,
    /// Whether answers tell in `server-timing` where the time went; where nothing is said, as the operator decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_timing: Option<bool>,
}

/// Whether failed calls are tried again: once, on a fresh instance, for methods that may be repeated, while nothing of an
/// answer has gone out and the body is at hand; a fifth of the calls at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RetryChoice {
    /// `true` for retries.
    pub enabled: bool,
}

/// Whether a version has a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BreakerChoice {
    /// `false` for none; the operator's rules hold otherwise.
    pub enabled: bool,
}

/// How long one instance may be reused. Never after anything but a clean end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reuse {
    /// Requests one instance answers before it is thrown away: 1 to 1,000,000.
    pub max_requests: u32,
}

/// Variables of one version.
pub const VARIABLES: usize = 64;
/// Bytes of all names and values of one version's variables.
pub const VARIABLE_BYTES: usize = 32 * 1024;
/// The most requests one instance may be asked to answer.
pub const REUSE_MAX_REQUESTS: u32 = 1_000_000;

/// What is wrong with a manifest; limits are checked by [`Overrides::resolve`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// A name that no environment can hold.
    #[error("variable name `{0}` is not 1 to 256 characters without `=` or control characters")]
    VariableName(String),
    /// A value with a NUL in it.
    #[error("the value of variable `{0}` holds a NUL character")]
    VariableValue(String),
    /// Too many, or too large in all.
    #[error(
        "variables are {count} of {bytes} bytes: allowed are {VARIABLES} of {VARIABLE_BYTES} bytes in all"
    )]
    Variables {
        /// How many there are.
        count: usize,
        /// Bytes of all names and values.
        bytes: usize,
    },
    /// Reuse outside its range.
    #[error("`reuse.max_requests` is {0}: allowed is 1 to {REUSE_MAX_REQUESTS}")]
    Reuse(u32),
}

impl Manifest {
    /// Checks everything but the limits.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), ManifestError> {
        let mut bytes = 0;
        for (name, value) in &self.variables {
            let bad = |c: char| c == '=' || c.is_control();
            if name.is_empty() || name.len() > 256 || name.chars().any(bad) {
                let shown = name.chars().take(80).flat_map(char::escape_default);
                return Err(ManifestError::VariableName(shown.collect()));
            }
            if value.contains('\0') {
                return Err(ManifestError::VariableValue(name.clone()));
            }
            bytes += name.len() + value.len();
        }
        let count = self.variables.len();
        if count > VARIABLES || bytes > VARIABLE_BYTES {
            return Err(ManifestError::Variables { count, bytes });
        }
        match self.reuse {
            Some(Reuse { max_requests }) if !(1..=REUSE_MAX_REQUESTS).contains(&max_requests) => {
                Err(ManifestError::Reuse(max_requests))
            }
            _ => Ok(()),
        }
    }
}
