//! What was configured: file, then environment, then flags, resolved into values that are all valid.
//! Must never leave a "maybe" to whoever reads it, and is the only place that reads the environment.

mod raw;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

pub use raw::{Flags, RawSettings, SettingsError};

use crate::model::breaker::Rules;
use crate::model::limits::{Limits, Quota, ServerLimits};
use crate::model::name::TenantName;
use crate::model::version::Tier;

/// Everything a server is started with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where everything that must survive is kept.
    pub data_dir: PathBuf,
    /// Where tenants' traffic is accepted.
    pub listen: SocketAddr,
    /// Where operators and developers are served.
    pub admin_listen: SocketAddr,
    /// Functions answer at `FUNCTION.TENANT.` and this.
    pub base_domain: String,
    /// Whether the operator set the base domain.
    pub base_domain_is_set: bool,
    /// Threads of the data plane.
    pub threads: Threads,
    /// What is done with instances that have answered.
    pub after_use: AfterUse,
    /// Whether answers tell where their time went, where a manifest says nothing.
    pub server_timing: bool,
    /// How what somebody waits for is compiled: quickly, and for speed once it answers, or for speed at once.
    pub first_tier: Tier,
    /// What is logged.
    pub log: LogSettings,
    /// Bounds of the server.
    pub server: ServerLimits,
    /// Limits where a manifest says nothing.
    pub defaults: Limits,
    /// The most a manifest may ask for.
    pub ceiling: Limits,
    /// What a tenant may use.
    pub quotas: Quotas,
    /// When a version that fails is left alone.
    pub breaker: Rules,
    /// Whether a component is made one module that calls the host directly, where that can be done.
    pub lower_components: bool,
}

/// Threads that answer requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threads {
    /// How many.
    pub count: usize,
    /// Whether each of them has a core of its own, where there are as many as this process may use.
    pub pinned: bool,
    /// At which nice value those run that answer, accept, and look after guests that loop, where the system allows it.
    pub nice: i32,
    /// Whether those that answer have real-time priority while they sleep for a part of the time, where the system allows it.
    pub real_time: bool,
}

/// What is done with an instance that has answered, and with its slot.
#[derive(Clone, Copy, Debug)]
pub struct AfterUse {
    /// Whether the kernel may be asked which pages of a slot were written, where that is safe.
    pub scan_pages: bool,
    /// Whether an instance that ended cleanly is put back to how it was made, where that can be done, or thrown away.
    pub reset_instances: bool,
}

/// What each tenant may use.
#[derive(Clone, Debug, Default)]
pub struct Quotas {
    /// Of a tenant that is not named.
    pub any: Quota,
    /// Of those that are.
    pub named: BTreeMap<TenantName, Quota>,
}

impl Quotas {
    /// What this tenant may use.
    #[must_use]
    pub fn of(&self, tenant: &TenantName) -> Quota {
        self.named.get(tenant).copied().unwrap_or(self.any)
    }
}

/// What is logged, and how.
#[derive(Clone, Debug)]
pub struct LogSettings {
    /// A filter as `tracing-subscriber` reads it.
    pub filter: String,
    /// One JSON object a line, instead of text.
    pub json: bool,
    /// Whether text may be coloured.
    pub color: bool,
}

/// The data directory of whoever runs this: `$XDG_DATA_HOME/spawnpoint`, else `~/.local/share/spawnpoint`, else
/// `./spawnpoint-data`.
#[must_use]
pub fn default_data_dir() -> PathBuf {
    let set = |name: &str| {
        let value = std::env::var_os(name)?;
        (!value.is_empty()).then(|| PathBuf::from(value))
    };
    match (set("XDG_DATA_HOME"), set("HOME")) {
        (Some(data), _) => data.join("spawnpoint"),
        (None, Some(home)) => home.join(".local/share/spawnpoint"),
        (None, None) => PathBuf::from("spawnpoint-data"),
    }
}

/// The file that says which failpoints fail (`SPAWNPOINT_FAULTS`); a release has none, whatever this says.
#[must_use]
pub fn faults() -> Option<PathBuf> {
    std::env::var_os("SPAWNPOINT_FAULTS").filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// Whether colours are unwanted (<https://no-color.org>).
#[must_use]
pub fn no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}
