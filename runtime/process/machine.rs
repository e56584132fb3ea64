//! What this machine allows: descriptors, memory maps, address space, memory, dirty-page scans. Looked at once at start,
//! fitted to what was configured, and logged. Must never start a server on a combination that is not safe.

#[cfg(test)]
mod tests;

use std::path::Path;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::engine::profile::{MEMORY_KEEP_RESIDENT, Slots, address_bytes, kept_bytes, why_not_scan_pages};
use crate::host::pages::are_told;
use crate::model::limits::{Limits, ServerLimits};
use crate::settings::Settings;

/// What there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Machine {
    /// File descriptors (`RLIMIT_NOFILE`).
    descriptors: u64,
    /// Memory maps (`vm.max_map_count`).
    maps: u64,
    /// Address space (`RLIMIT_AS`), if it is bounded.
    address_bytes: Option<u64>,
    /// Memory of the machine, or of the control group if that has less.
    memory_bytes: Option<u64>,
    /// Whether dirty pages can be asked for, and none of them hide in swap.
    scan_pages: bool,
}

/// What is made of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fit {
    instances: u32,
    loaded_programs: u32,
    connections: u32,
    scan_pages: bool,
    resident_bytes: u64,
}

/// A server would start and then fail under the first load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this machine allows {found} {what}: a server needs {needed} ({how})")]
pub struct TooLittle {
    what: &'static str,
    found: u64,
    needed: u64,
    how: &'static str,
}

/// Memory maps one live instance takes.
const MAPS_PER_INSTANCE: u64 = 11;
/// Memory maps one loaded program takes.
const MAPS_PER_PROGRAM: u64 = 4;
/// Engine profiles: each has the configured number of instances.
const PROFILES: u64 = 2;
/// Descriptors that the server itself takes: the admin API's connections, uploads, children, event queues.
const OWN_DESCRIPTORS: u64 = 512;
/// Address space of everything but the slots: heaps, stacks of threads, loaded programs.
const OWN_ADDRESS_BYTES: u64 = 16 << 30;
/// Fewer than these serve nobody well: a request that finds no slot is refused.
const LEAST_INSTANCES: u32 = 8;
const LEAST_DESCRIPTORS: u64 = 128;
const LEAST_MAPS: u64 = 4_096;
/// A slot that keeps less than this resident had better give everything back.
const LEAST_RESIDENT_BYTES: u64 = 64 << 10;

impl Machine {
    /// Looks, and raises what may be raised.
    fn look() -> Self {
        let maps = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap_or_default();
        Self {
            descriptors: raise_descriptors(),
            maps: maps.trim().parse().unwrap_or(65_530),
            address_bytes: getrlimit(Resource::As).current,
            memory_bytes: memory(&|path| std::fs::read_to_string(path).ok()),
            scan_pages: why_not_scan_pages().is_none(),
        }
    }

    /// As much of what is wanted as is safe here.
    fn fit(&self, wanted: &ServerLimits, ceiling: &Limits) -> Result<Fit, TooLittle> {
        let (descriptors, maps) = (self.descriptors, self.maps);
        let enough = |what, found: u64, needed: u64, how| {
            if found < needed { Err(TooLittle { what, found, needed, how }) } else { Ok(()) }
        };
        enough("file descriptors", descriptors, LEAST_DESCRIPTORS, "`ulimit -n`")?;
        enough("memory maps", maps, LEAST_MAPS, "`sysctl vm.max_map_count`")?;
        // Half for instances, a quarter for programs, the rest for the process itself.
        let by_maps = narrow(maps / 2 / PROFILES / MAPS_PER_INSTANCE);
        let instances = wanted.instances.min(by_maps);
        let instances = match self.address_bytes {
            None => instances,
            Some(all) => {
                let needed = address_bytes(LEAST_INSTANCES, ceiling).saturating_add(OWN_ADDRESS_BYTES);
                enough("bytes of address space", all, needed, "`ulimit -v`")?;
                let each = address_bytes(LEAST_INSTANCES, ceiling) / u64::from(LEAST_INSTANCES);
                instances.min(narrow((all - OWN_ADDRESS_BYTES) / each.max(1)))
            }
        };
        let free = descriptors - OWN_DESCRIPTORS.min(descriptors / 4);
        let programs = u64::from(wanted.loaded_programs).min(maps / 4 / MAPS_PER_PROGRAM).max(1);
        let connections = u64::from(wanted.connections);
        // A loaded program keeps its file open. What does not fit is shared, so that neither shuts the other out.
        let (programs, connections) = if programs + connections <= free {
            (programs, connections)
        } else {
            let programs = programs.min((free / 2).max(free.saturating_sub(connections)));
            (programs, connections.min(free - programs))
        };
        // A quarter of the memory, in case every slot has been used once.
        let each = kept_bytes(instances, MEMORY_KEEP_RESIDENT).div_ceil(MEMORY_KEEP_RESIDENT).max(1);
        let share = self.memory_bytes.map(|all| all / 4 / each);
        let resident = share.map_or(MEMORY_KEEP_RESIDENT, |share| share.min(MEMORY_KEEP_RESIDENT)) & !0xffff;
        let scan_pages = self.scan_pages && resident >= LEAST_RESIDENT_BYTES;
        Ok(Fit {
            instances,
            loaded_programs: narrow(programs),
            connections: narrow(connections),
            scan_pages,
            resident_bytes: if scan_pages { resident } else { 0 },
        })
    }
}

/// Fits what was configured to what the machine has, and says so.
///
/// # Errors
/// When it has too little of something for any server.
pub(super) fn fit(settings: &mut Settings) -> Result<Slots, TooLittle> {
    let mut machine = Machine::look();
    if let (true, Some(reason)) = (settings.after_use.scan_pages, why_not_scan_pages()) {
        tracing::warn!(reason, "dirty pages are not scanned for: whole memories are given back after use");
    }
    machine.scan_pages &= settings.after_use.scan_pages;
    let server = &mut settings.server;
    let fit = machine.fit(server, &settings.ceiling)?;
    for (what, wanted, most) in [
        ("instances", &mut server.instances, fit.instances),
        ("loaded_programs", &mut server.loaded_programs, fit.loaded_programs),
        ("connections", &mut server.connections, fit.connections),
    ] {
        if *wanted > most {
            tracing::warn!(what, wanted = *wanted, most, "this machine allows less than was configured");
            *wanted = most;
        }
    }
    let Machine { descriptors, maps, address_bytes, memory_bytes, .. } = machine;
    if server.memory_bytes == 0 {
        // Where nobody says how much there is, little is promised.
        server.memory_bytes = memory_bytes.unwrap_or(1 << 30) / 4 * 3;
    }
    let Fit { scan_pages, resident_bytes, .. } = fit;
    let resets = settings.after_use.reset_instances && are_told();
    tracing::info!(
        instances = server.instances,
        loaded_programs = server.loaded_programs,
        connections = server.connections,
        threads = settings.threads.count,
        nice = settings.threads.nice,
        real_time = settings.threads.real_time,
        descriptors,
        maps,
        address_bytes,
        memory_bytes,
        budget_bytes = server.memory_bytes,
        scan_pages,
        resident_bytes,
        resets,
        "limits in force"
    );
    let (instances, ceiling) = (server.instances, settings.ceiling);
    Ok(Slots { instances, ceiling, scan_pages, resident_bytes, resets })
}

/// Raises the soft limit of file descriptors to the hard one. Returns what is in force.
fn raise_descriptors() -> u64 {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, "the limit of file descriptors stays as it is");
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// The least of the machine's memory and the limits of the control groups that this process is in, both versions.
fn memory(read: &dyn Fn(&Path) -> Option<String>) -> Option<u64> {
    let number = |path: &Path| read(path)?.trim().parse::<u64>().ok();
    let about = read(Path::new("/proc/meminfo")).unwrap_or_default();
    let total = about.lines().find_map(|line| {
        line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    });
    let mut least = total.map(|kib| kib.saturating_mul(1024));
    let groups = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (parts.next(), parts.next()) else { continue };
        let (root, file) = match controllers {
            "" => (Path::new("/sys/fs/cgroup"), "memory.max"),
            one if one.split(',').any(|name| name == "memory") => {
                (Path::new("/sys/fs/cgroup/memory"), "memory.limit_in_bytes")
            }
            _ => continue,
        };
        // A group is bounded by those above it too; in a container its own path may not be there, and the root is it.
        for above in Path::new(group.trim_start_matches('/')).ancestors() {
            let found = number(&root.join(above).join(file));
            least = least.into_iter().chain(found).min();
        }
    }
    least
}

fn narrow(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX).max(1)
}
