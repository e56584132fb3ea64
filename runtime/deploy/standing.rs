//! Which versions are left alone because they failed too often, or cannot be loaded, for whoever asks from the control plane.
//! Must never change what it looks at.

use super::live::Live;
use super::pipeline::Deployer;
use crate::host::meter::now_ns;
use crate::model::breaker::Phase;
use crate::model::name::{FunctionName, TenantName};
use crate::model::version::VersionNumber;

/// What a version's breaker does with the next request; the worst comes last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Lets it through.
    #[default]
    Closed,
    /// Lets it through as a probe.
    HalfOpen,
    /// Waits for the end of a probe.
    Probing,
    /// Refuses it for so long.
    Open {
        /// From now on.
        for_ms: u64,
    },
}

impl Standing {
    fn of(live: &Live) -> Self {
        match live.fuse.phase() {
            Phase::Closed => Self::Closed,
            Phase::Probing { .. } => Self::Probing,
            Phase::Open { until_ms } => match until_ms.saturating_sub(now_ns() / 1_000_000) {
                0 => Self::HalfOpen,
                for_ms => Self::Open { for_ms },
            },
        }
    }
}

impl Deployer {
    /// How the versions of a function stand that answer.
    #[must_use]
    pub fn standings(&self, tenant: &TenantName, name: &FunctionName) -> Vec<(VersionNumber, Standing)> {
        let routes = self.table.now();
        let route = routes.find(tenant.as_str(), name.as_str());
        let lives = route.iter().flat_map(|route| &route.versions);
        lives.map(|(live, _)| (live.number, Standing::of(live))).collect()
    }

    /// Those of them whose last load failed.
    #[must_use]
    pub fn broken(&self, tenant: &TenantName, name: &FunctionName) -> Vec<VersionNumber> {
        let routes = self.table.now();
        let route = routes.find(tenant.as_str(), name.as_str());
        let lives = route.iter().flat_map(|route| &route.versions).map(|(live, _)| live);
        lives.filter(|live| live.is_broken()).map(|live| live.number).collect()
    }
}
