//! What a machine with little of something is given, and when it is given nothing.

use super::*;
use crate::engine::profile::table_keeps;

const LARGE: Machine = Machine {
    descriptors: 1 << 20,
    maps: 1 << 20,
    address_bytes: None,
    memory_bytes: Some(64 << 30),
    scan_pages: true,
};

fn fit(machine: &Machine) -> Result<Fit, TooLittle> {
    machine.fit(&ServerLimits::default(), &Limits::default_ceiling())
}

#[test]
fn a_large_machine_is_given_what_was_configured() {
    let wanted = ServerLimits::default();
    let Fit { instances, loaded_programs, connections, scan_pages, resident_bytes } = fit(&LARGE).unwrap();
    assert_eq!((instances, loaded_programs), (wanted.instances, wanted.loaded_programs));
    assert_eq!((connections, scan_pages, resident_bytes), (wanted.connections, true, 1 << 20));
    // As is one with the kernel's usual limits.
    let usual = Machine { maps: 65_530, descriptors: 20_000, ..LARGE };
    assert_eq!(fit(&usual), fit(&LARGE));
}

#[test]
fn few_maps_are_few_instances_and_programs() {
    let few = fit(&Machine { maps: 8_192, ..LARGE }).unwrap();
    assert_eq!((few.instances, few.loaded_programs), (8_192 / 4 / 11, 8_192 / 16));
    let maps =
        u64::from(few.instances) * 2 * MAPS_PER_INSTANCE + u64::from(few.loaded_programs) * MAPS_PER_PROGRAM;
    assert!(maps < 8_192, "{maps}");
    let error = fit(&Machine { maps: 100, ..LARGE }).unwrap_err().to_string();
    assert!(error.contains("100 memory maps") && error.contains("vm.max_map_count"), "{error}");
}

#[test]
fn few_descriptors_are_shared_by_programs_and_connections() {
    for descriptors in [128, 256, 1_024, 4_096, 10_000, 14_000] {
        let few = fit(&Machine { descriptors, ..LARGE }).unwrap();
        let used = u64::from(few.connections) + u64::from(few.loaded_programs);
        let own = OWN_DESCRIPTORS.min(descriptors / 4);
        assert!(used + own <= descriptors, "{descriptors}: {few:?}");
        assert!(u64::from(few.connections) >= descriptors / 4, "{descriptors}: {few:?}");
        assert!(u64::from(few.loaded_programs) >= descriptors / 4, "{descriptors}: {few:?}");
    }
    let error = fit(&Machine { descriptors: 64, ..LARGE }).unwrap_err().to_string();
    assert!(error.contains("64 file descriptors") && error.contains("ulimit -n"), "{error}");
}

#[test]
fn a_bounded_address_space_holds_every_slot_of_both_engines() {
    let ceiling = Limits::default_ceiling();
    for gib in [128, 600, 4_096, 20_000] {
        let all: u64 = gib << 30;
        let few = fit(&Machine { address_bytes: Some(all), ..LARGE }).unwrap();
        assert!(few.instances >= LEAST_INSTANCES, "{gib} GiB: {few:?}");
        let used = address_bytes(few.instances, &ceiling) + OWN_ADDRESS_BYTES;
        assert!(used <= all, "{gib} GiB: {few:?} use {used}");
    }
    let error = fit(&Machine { address_bytes: Some(8 << 30), ..LARGE }).unwrap_err().to_string();
    assert!(error.contains("bytes of address space") && error.contains("ulimit -v"), "{error}");
}

#[test]
fn little_memory_keeps_less_resident_and_at_the_end_nothing() {
    let with = |mib: u64| fit(&Machine { memory_bytes: Some(mib << 20), ..LARGE }).unwrap();
    for mib in [16_384, 4_096, 2_048] {
        let some = with(mib);
        assert!(some.scan_pages && some.resident_bytes >= LEAST_RESIDENT_BYTES, "{mib} MiB: {some:?}");
        let kept = kept_bytes(some.instances, some.resident_bytes);
        assert!(kept <= (mib << 20) / 4, "{mib} MiB: {some:?} keep {kept}");
    }
    // With plenty, all of a table that is as large as it may be by default.
    assert_eq!(with(131_072).resident_bytes, MEMORY_KEEP_RESIDENT);
    assert!(table_keeps(MEMORY_KEEP_RESIDENT) >= Limits::default().table_elements * 8);
    let none = with(256);
    assert_eq!((none.scan_pages, none.resident_bytes), (false, 0));
}

#[test]
fn pages_that_may_hide_in_swap_are_not_scanned_for() {
    let swapping = fit(&Machine { scan_pages: false, ..LARGE }).unwrap();
    assert_eq!((swapping.scan_pages, swapping.resident_bytes), (false, 0));
    assert_eq!(swapping.instances, fit(&LARGE).unwrap().instances);
}

fn memory_with(files: &[(&str, &str)]) -> Option<u64> {
    memory(&|path| {
        let found = files.iter().find(|(name, _)| Path::new(name) == path);
        found.map(|(_, text)| (*text).to_owned())
    })
}

#[test]
fn the_least_of_all_memory_limits_counts() {
    const TOTAL: (&str, &str) = ("/proc/meminfo", "MemTotal:       24000000 kB\nMemFree: 1 kB\n");
    const TWO: (&str, &str) = ("/proc/self/cgroup", "0::/a/b\n");
    assert_eq!(memory_with(&[]), None);
    assert_eq!(memory_with(&[TOTAL]), Some(24_000_000 << 10));
    let unbounded = [TOTAL, TWO, ("/sys/fs/cgroup/a/b/memory.max", "max\n")];
    assert_eq!(memory_with(&unbounded), Some(24_000_000 << 10));
    let own = ("/sys/fs/cgroup/a/b/memory.max", "536870912\n");
    assert_eq!(memory_with(&[TOTAL, TWO, own]), Some(512 << 20));
    let above = ("/sys/fs/cgroup/a/memory.max", "268435456\n");
    assert_eq!(memory_with(&[TOTAL, TWO, own, above]), Some(256 << 20));
    // In a container the path is the host's, and the root is the container's own.
    let root = ("/sys/fs/cgroup/memory.max", "134217728\n");
    assert_eq!(memory_with(&[TOTAL, TWO, root]), Some(128 << 20));
    let one = ("/proc/self/cgroup", "5:cpu:/x\n4:memory:/x\n0::/\n");
    let limit = ("/sys/fs/cgroup/memory/x/memory.limit_in_bytes", "1073741824\n");
    let boundless = ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    assert_eq!(memory_with(&[TOTAL, one, limit, boundless]), Some(1 << 30));
}
