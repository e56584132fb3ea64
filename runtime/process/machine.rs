//! What this machine allows: file descriptors, memory maps, dirty-page scans. Checked once at start and logged.
//! Must never start a server on a combination that is not safe.

use std::path::Path;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::engine::profile::{Slots, scan_pages_is_safe};
use crate::settings::Settings;

/// Memory maps one live instance takes.
const MAPS_PER_INSTANCE: u64 = 11;
/// Memory maps one loaded program takes.
const MAPS_PER_PROGRAM: u64 = 4;

/// File descriptors that no tenant's connection or program can take.
const RESERVED: u64 = 1_024;

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

/// Bytes of memory that this process may use: the machine's, or what its control group leaves of them.
fn memory() -> u64 {
    let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
    let info = read(Path::new("/proc/meminfo"));
    let total = info.lines().find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next());
    let total = total.and_then(|kib| kib.parse::<u64>().ok()).map_or(1 << 30, |kib| kib << 10);
    let groups = read(Path::new("/proc/self/cgroup"));
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    let root = Path::new("/sys/fs/cgroup");
    let own = root.join(own);
    // Each group above has a limit too; and in a container the root is the container's own.
    let limits = own.ancestors().take_while(|group| group.starts_with(root));
    let limits = limits.filter_map(|group| read(&group.join("memory.max")).trim().parse::<u64>().ok());
    limits.min().map_or(total, |limit| limit.min(total))
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
    // What tenants can make the server open leaves some for operators, for files and for compilers.
    let theirs = descriptors - (descriptors / 8).min(RESERVED);
    let programs = u32::try_from(programs.min(theirs / 2)).unwrap_or(u32::MAX).max(1);
    let connections = u32::try_from(theirs / 2).unwrap_or(u32::MAX).max(1);
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
    if server.memory_bytes == 0 {
        server.memory_bytes = memory() / 4 * 3;
    }
    let scan_pages = scan_pages_is_safe();
    tracing::info!(
        instances = server.instances,
        loaded_programs = server.loaded_programs,
        connections = server.connections,
        memory_bytes = server.memory_bytes,
        descriptors,
        scan_pages,
        threads = settings.threads,
        "limits in force"
    );
    Slots { instances: server.instances, ceiling: settings.ceiling, scan_pages }
}
