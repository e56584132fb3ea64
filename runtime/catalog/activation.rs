//! Which versions answer, and in which shares: one record, moved by compare-and-swap. Rolling back is activating an
//! older version. Must never make a version: what is activated was published before.

use serde::{Deserialize, Serialize};

use super::function::Function;
use super::record::{now_ms, version_key};
use super::{ATTEMPTS, Catalog, CatalogError, Tried};
use crate::model::limits::WEIGHTS;
use crate::model::name::{FunctionName, TenantName};
use crate::model::version::VersionNumber;

/// Which versions answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activation {
    /// 1, 2, 3 within the function, one more with each change, a pause and its end included.
    pub revision: u64,
    /// At least one, by version number.
    pub weights: Vec<Weight>,
    /// When it was changed, in milliseconds since 1970.
    pub changed_ms: u64,
}

/// One version's share: its weight divided by the sum of all weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weight {
    /// The version.
    pub version: VersionNumber,
    /// 1 to [`WEIGHT_MAX`].
    pub weight: u32,
}

/// The largest weight: all of them together still fit 32 bits.
pub const WEIGHT_MAX: u32 = 1_000_000;

/// Why weights make no activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadActivation {
    /// None at all, or more than a route may weigh.
    #[error("an activation has 1 to {WEIGHTS} versions, not {0}")]
    Count(usize),
    /// A weight outside its range. Zero is refused too: a version without a share is left out.
    #[error("the weight of version {version} is {weight}: allowed is 1 to {WEIGHT_MAX}")]
    Weight {
        /// Whose weight.
        version: VersionNumber,
        /// What was asked for.
        weight: u32,
    },
    /// One version twice.
    #[error("version {0} is named twice")]
    Twice(VersionNumber),
    /// A version that was never published, or is no longer kept.
    #[error("there is no version {0}")]
    NoSuchVersion(VersionNumber),
}

impl Activation {
    /// Whether these weights make an activation of a function that has the versions that `exists` knows.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(weights: &[Weight], exists: impl Fn(VersionNumber) -> bool) -> Result<(), BadActivation> {
        if weights.is_empty() || weights.len() > WEIGHTS {
            return Err(BadActivation::Count(weights.len()));
        }
        for (index, &Weight { version, weight }) in weights.iter().enumerate() {
            if !(1..=WEIGHT_MAX).contains(&weight) {
                return Err(BadActivation::Weight { version, weight });
            }
            if weights[..index].iter().any(|w| w.version == version) {
                return Err(BadActivation::Twice(version));
            }
            if !exists(version) {
                return Err(BadActivation::NoSuchVersion(version));
            }
        }
        Ok(())
    }

    /// Whether the version has a share.
    #[must_use]
    pub fn has(&self, version: VersionNumber) -> bool {
        self.weights.iter().any(|weight| weight.version == version)
    }

    /// Whether these are the same shares. All of one version is the same whatever its weight.
    fn is(&self, weights: &[Weight]) -> bool {
        match (self.weights.as_slice(), weights) {
            ([mine], [other]) => mine.version == other.version,
            (mine, other) => mine == other,
        }
    }
}

impl Function {
    /// The revision of its activation; 0 if nothing is active.
    #[must_use]
    pub fn activation_revision(&self) -> u64 {
        self.activation.as_ref().map_or(0, |a| a.revision)
    }

    /// Whether the version has a share.
    #[must_use]
    pub fn is_active(&self, version: VersionNumber) -> bool {
        self.activation.as_ref().is_some_and(|a| a.has(version))
    }

    /// Whether its activation is where a caller has seen it (0: nothing is active), if the caller says where.
    pub(super) fn is_expected(&self, expected: Option<u64>) -> Result<(), CatalogError> {
        let current = self.activation_revision();
        match expected.filter(|expected| *expected != current) {
            Some(expected) => Err(CatalogError::Conflict { expected, current }),
            None => Ok(()),
        }
    }

    /// Moves the activation to weights that were checked; the same weights are no change.
    pub(super) fn move_to(&mut self, mut weights: Vec<Weight>, now_ms: u64) {
        weights.sort_unstable_by_key(|weight| weight.version);
        if self.activation.as_ref().is_some_and(|a| a.is(&weights)) {
            return;
        }
        self.activation =
            Some(Activation { revision: self.activation_revision() + 1, weights, changed_ms: now_ms });
    }
}

impl Catalog {
    /// Lets these versions answer. With `expected`, only if the activation is still at that revision (0: nothing is
    /// active). What is active already is no change and no error.
    ///
    /// # Errors
    /// [`CatalogError::Conflict`] or [`CatalogError::BadActivation`], or there is no such function.
    pub async fn activate(
        &self,
        tenant: &TenantName,
        name: &FunctionName,
        weights: &[Weight],
        expected: Option<u64>,
    ) -> Result<Function, CatalogError> {
        for _ in 0..ATTEMPTS {
            let (owner, found) = self.function(tenant, name).await?;
            let mut function = found.record.clone();
            function.is_expected(expected)?;
            let existing = self.existing(&function, weights).await?;
            Activation::check(weights, |version| existing.contains(&version))?;
            function.move_to(weights.to_vec(), now_ms());
            // The versions need no guard of their own: none goes without a change of the function.
            if self.try_change(&owner, &found, &function).await? == Tried::Done {
                return Ok(function);
            }
        }
        Err(CatalogError::Contended)
    }

    /// Those of the named versions that there are; no more of them are looked up than an activation may have.
    async fn existing(
        &self,
        function: &Function,
        weights: &[Weight],
    ) -> Result<Vec<VersionNumber>, CatalogError> {
        let named = || weights.iter().take(WEIGHTS).map(|weight| weight.version);
        let keys = named().map(|number| version_key(function.id, number));
        let found = self.storage.get_many(keys.collect()).await?;
        let found = named().zip(found).filter(|(_, value)| value.is_some());
        Ok(found.map(|(number, _)| number).collect())
    }
}
