//! What this machine allows: file descriptors, memory maps, dirty-page scans. Checked once at start and logged.
//! Must never start a server on a combination that is not safe.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::engine::profile::{Slots, scan_pages_is_safe};
use crate::settings::Settings;

/// Memory maps one live instance takes.
const MAPS_PER_INSTANCE: u64 = 11;
/// Memory maps one loaded program takes.
const MAPS_PER_PROGRAM: u64 = 4;

/// Raises the soft limit of file descriptors to the hard one. Returns what is in force.
#[must_use]
pub(super) fn raise_descriptors() -> u64 {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, "the limit of file descriptors stays as it is");
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

fn most_maps() -> u64 {
    let text = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap_or_default();
    text.trim().parse().unwrap_or(65_530)
}

/// Fits what was configured to what the machine has, and says so.
#[must_use]
pub(super) fn fit(settings: &mut Settings) -> Slots {
    let descriptors = raise_descriptors();
    let server = &mut settings.server;
    let maps = most_maps();
    // Half for instances, a quarter for programs, the rest for the process itself.
    let instances = u32::try_from(maps / 2 / MAPS_PER_INSTANCE).unwrap_or(u32::MAX).max(1);
    let programs = maps / 4 / MAPS_PER_PROGRAM;
    let programs = u32::try_from(programs.min(descriptors / 2)).unwrap_or(u32::MAX).max(1);
    let connections = u32::try_from(descriptors / 2).unwrap_or(u32::MAX).max(1);
    for (what, wanted, most) in [
        ("instances", &mut server.instances, instances),
        ("loaded_programs", &mut server.loaded_programs, programs),
        ("connections", &mut server.connections, connections),
    ] {
        if *wanted > most {
            tracing::warn!(what, wanted = *wanted, most, "this machine allows less than was configured");
            *wanted = most;
        }
    }
    let scan_pages = settings.scan_pages && scan_pages_is_safe();
    tracing::info!(
        instances = server.instances,
        loaded_programs = server.loaded_programs,
        connections = server.connections,
        descriptors,
        scan_pages,
        threads = settings.threads,
        "limits in force"
    );
    Slots { instances: server.instances, ceiling: settings.ceiling, scan_pages }
}
