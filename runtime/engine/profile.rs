//! The two `wasmtime::Config` profiles, each knob with its reason.
//! Must never differ between the compiling child and the serving process in anything that code depends on.

use std::num::NonZeroUsize;

use wasmparser::WasmFeatures;
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig,
    RegallocAlgorithm, WasmBacktraceDetails,
};

use super::program::SPARE;
use crate::model::limits::{self, Limits};
use crate::model::version::Profile;

/// What an engine is for. The strategy for memory is not part of an artifact's compatibility hash.
#[derive(Clone, Copy, Debug)]
pub enum Purpose<'a> {
    /// Compiling only: allocates on demand, so that it lives under a small address space limit.
    Compile,
    /// As `Compile`, but quickly and not for speed. Neither is part of an artifact's compatibility, though both are part of
    /// that hash.
    Draft,
    /// Serving: every slot is reserved at start.
    Serve(&'a Slots),
}

/// How large the pool of one engine is.
#[derive(Clone, Copy, Debug)]
pub struct Slots {
    /// Live instances.
    pub instances: u32,
    /// The largest memory and table any function may ask for.
    pub ceiling: Limits,
    /// Whether the kernel tells which pages of a slot were written (`PAGEMAP_SCAN`) and nothing can swap them out.
    pub scan_pages: bool,
    /// Bytes of a slot's memory that stay resident when it is free, if pages are scanned.
    pub resident_bytes: u64,
    /// Whether an instance that ended cleanly is put back to how it was made, where that can be done.
    pub resets: bool,
}

/// Bytes of a slot's memory kept resident where there is memory enough, so that reuse costs no system call but the scan.
pub const MEMORY_KEEP_RESIDENT: u64 = 1 << 20;
/// Bytes of each of its tables then: as many as the elements take that it may have by default. Where a table was grown to that and
/// 64 KiB stayed, 24 pages were taken anew and given back again for each call, which made it 81 us long instead of 33.
const TABLE_KEEP_RESIDENT: u64 = 160 << 10;
/// Address space of one linear memory: all that 32 bits can reach, so that code needs no bounds checks.
const RESERVATION: u64 = 4 << 30;
/// Unmapped behind it, for what an instruction adds to an address.
const GUARD: u64 = 32 << 20;
// Less of either would be slower and not wrong; none at all is how a mistake in the compiler reaches another tenant.
const _: () = assert!(RESERVATION == 1 << 32 && GUARD >= 1 << 20);

/// What guests may use: the second version of the core standard, tail calls, extended constants, components.
/// Threads, memories of 64 bits, garbage collection and the drafts stay off.
#[must_use]
pub fn features(profile: Profile) -> WasmFeatures {
    let core = WasmFeatures::WASM2
        | WasmFeatures::TAIL_CALL
        | WasmFeatures::EXTENDED_CONST
        | WasmFeatures::COMPONENT_MODEL;
    // Part of the first version in name only: references that a collector counts. This build has none, and wasmtime
    // refuses the engine otherwise.
    let core = core.difference(WasmFeatures::GC_TYPES);
    match profile {
        Profile::Lean => core,
        Profile::Async => core | WasmFeatures::CM_ASYNC,
    }
}

/// The configuration of one profile.
#[must_use]
pub fn config(profile: Profile, purpose: Purpose<'_>) -> Config {
    let mut config = Config::new();
    config.wasm_features(WasmFeatures::all(), false);
    config.wasm_features(features(profile), true);
    // Measured 14.9 -> 11.1 us for instantiate + request + drop; 0.3 cannot live without it.
    config.concurrency_support(matches!(profile, Profile::Async));
    // How a loop is stopped; 3.6 % on the tightest loop.
    config.epoch_interruption(true);
    if let Purpose::Draft = purpose {
        // Measured 45-60 ms with both levers the other way, 20 ms so, for a component of 74 KB.
        config.cranelift_opt_level(OptLevel::None);
        config.cranelift_regalloc_algorithm(RegallocAlgorithm::SinglePass);
    } else {
        config.cranelift_opt_level(OptLevel::Speed);
    }
    // Traps are told by function and offset; nothing reads DWARF or unwind tables of guest code at run time.
    config.generate_address_map(true);
    config.native_unwind_info(false);
    config.debug_info(false);
    config.wasm_backtrace_details(WasmBacktraceDetails::Disable);
    config.wasm_backtrace_max_frames(NonZeroUsize::new(limits::BACKTRACE_FRAMES));
    // Initial memory is mapped copy-on-write from the artifact; the guard is what makes bounds checks free.
    config.memory_init_cow(true);
    config.memory_reservation(RESERVATION).memory_guard_size(GUARD).guard_before_linear_memory(true);
    config.max_wasm_stack(512 << 10);
    config.async_stack_size(2 << 20);
    // Guests cannot read host stacks, and zeroing would decommit at each drop.
    config.async_stack_zeroing(false);
    config.parallel_compilation(true);
    config.allocation_strategy(match purpose {
        Purpose::Compile | Purpose::Draft => InstanceAllocationStrategy::OnDemand,
        Purpose::Serve(slots) => InstanceAllocationStrategy::Pooling(pool(slots)),
    });
    config
}

/// Most instances have one linear memory, some have more.
fn memories(instances: u32) -> u32 {
    instances.saturating_add(SPARE).saturating_add(instances / 4)
}

/// Linear memories that the engines of all profiles have between them.
fn all_memories(instances: u32) -> u64 {
    u64::from(memories(instances)) * 2
}

fn tables(instances: u32) -> u32 {
    instances.saturating_add(SPARE).saturating_mul(3)
}

/// Bytes of a table that stay resident where so many of a memory do.
#[must_use]
pub const fn table_keeps(resident_bytes: u64) -> u64 {
    let keeps = resident_bytes.saturating_mul(TABLE_KEEP_RESIDENT) / MEMORY_KEEP_RESIDENT;
    // Whole pages.
    keeps & !0xfff
}

/// Bytes that the free slots of all profiles keep resident between them once each has been used, if each memory's keeps so many. What larger
/// tables have left of a slot, as zeros, is not in it.
#[must_use]
pub fn kept_bytes(instances: u32, resident_bytes: u64) -> u64 {
    let tables = u64::from(tables(instances)).saturating_mul(2).saturating_mul(table_keeps(resident_bytes));
    all_memories(instances).saturating_mul(resident_bytes).saturating_add(tables)
}

/// Address space that the engines of all profiles reserve between them.
#[must_use]
pub fn address_bytes(instances: u32, ceiling: &Limits) -> u64 {
    const STACK: u64 = (2 << 20) + (64 << 10);
    let table = ceiling.table_elements.saturating_mul(8);
    let tables = table.saturating_mul(u64::from(tables(instances)).saturating_mul(2));
    all_memories(instances).saturating_mul(RESERVATION + GUARD + STACK).saturating_add(tables)
}

fn pool(slots: &Slots) -> PoolingAllocationConfig {
    let n = slots.instances.saturating_add(SPARE);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(n)
        // A Rust component takes 3 core instances, 2 tables and 1 memory, and one core instance more to be put back; larger
        // ones take from the same stock.
        .total_core_instances(n.saturating_mul(5))
        .total_tables(tables(slots.instances))
        .total_memories(memories(slots.instances))
        // A lowered instance takes its stack when it is called: never is there a memory for it and no stack.
        .total_stacks(memories(slots.instances))
        .max_core_instances_per_component(limits::CORE_INSTANCES_PER_COMPONENT)
        .max_tables_per_component(limits::TABLES_PER_COMPONENT)
        .max_memories_per_component(limits::MEMORIES_PER_COMPONENT)
        .max_tables_per_module(limits::TABLES_PER_MODULE)
        .max_memories_per_module(1)
        .max_memory_size(usize::try_from(slots.ceiling.memory_bytes).unwrap_or(usize::MAX))
        .table_elements(usize::try_from(slots.ceiling.table_elements).unwrap_or(usize::MAX))
        // A slot that stays warm for its module needs no mapping call when it is taken again.
        .max_unused_warm_slots(n);
    if slots.scan_pages {
        let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(0);
        pool.pagemap_scan(Enabled::Yes)
            .linear_memory_keep_resident(bytes(slots.resident_bytes))
            .table_keep_resident(bytes(table_keeps(slots.resident_bytes)));
    } else {
        // Keeping pages resident without the scan clears them byte by byte: slower than giving them back.
        pool.pagemap_scan(Enabled::No);
    }
    pool
}

/// An engine of this profile.
///
/// # Errors
/// wasmtime's own, when the machine cannot give what the configuration asks for.
pub fn engine(profile: Profile, purpose: Purpose<'_>) -> wasmtime::Result<Engine> {
    Engine::new(&config(profile, purpose))
}

/// Why dirty pages must not be asked of the kernel, if so: pages in swap are missed by the scan.
#[must_use]
pub fn why_not_scan_pages() -> Option<&'static str> {
    if !std::fs::read_to_string("/proc/swaps").is_ok_and(|swaps| swaps.lines().count() <= 1) {
        return Some("swap is on, or nobody says that it is off");
    }
    (!PoolingAllocationConfig::is_pagemap_scan_available()).then_some("the kernel has no PAGEMAP_SCAN")
}
