//! What a lowered guest may call: the functions of WASI as a core module imports them, and what else its wrapper needs.
//! Must never give such a guest anything that a component is not given, and must never call into the guest.
//!
//! A guest's handle for a resource is its place in the store's table plus one. An answer that needs memory of the guest's
//! waits until the guest's wrapper has asked for each block ([`PENDING`]) and told where it is ([`PLACE`]).

mod abi;
mod delivery;
mod error_code;
mod fields;
mod http;
mod io;
mod rest;
mod signatures;
mod table;
mod tasks;

#[cfg(test)]
mod tests;

use wasmtime::{Linker, Memory, Result};

use super::{HostState, pages};
pub use abi::handle;
use abi::{Caller, Guest};
use delivery::Delivery;
use table::{Function, Slot};
pub use tasks::{Answer, Event, NOTHING};

/// The module name of what is ours and no guest may import by itself.
pub const INTERNAL: &str = "spawnpoint";
/// `() -> i64`: alignment in the upper half and size in the lower of the next block that the last answer needs, 0 if none.
pub const PENDING: &str = "pending";
/// `(pointer: i32)`: where the guest put that block. After the last one everything is written.
pub const PLACE: &str = "place";
/// `(pointer: i32, length: i32, pages: i32, index: i32) -> i64`: what [`pages::IMPORT`] is for a component.
pub const WRITTEN: &str = "written";

/// The module name of what the component model itself gives a guest of 0.3.
pub const BUILTINS: &str = "async";

/// What is known of a function that a guest imports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its answer may need memory: the wrapper must ask for [`PENDING`] after the call.
    pub allocates: bool,
    /// The types of its parameters and, behind `>`, of its result: `i` is an i32, `l` an i64.
    pub signature: &'static str,
}

/// What answers each function, by the interface. Their types are in [`signatures`].
const FUNCTIONS: &[(&str, &[Function])] = &[
    ("wasi:http/types", fields::BOTH),
    ("wasi:http/types", fields::FIELDS),
    ("wasi:http/types", http::INCOMING),
    ("wasi:http/types", http::OUTGOING),
    ("wasi:io/error", io::ERROR),
    ("wasi:io/poll", io::POLL),
    ("wasi:io/streams", io::INPUT),
    ("wasi:io/streams", io::OUTPUT),
    ("wasi:cli/environment", rest::ENVIRONMENT),
    ("wasi:cli/exit", rest::EXIT),
    ("wasi:cli/stdin", rest::STDIN),
    ("wasi:cli/stdout", rest::STDOUT),
    ("wasi:cli/stderr", rest::STDERR),
    ("wasi:cli/terminal-input", rest::TERMINAL_INPUT),
    ("wasi:cli/terminal-output", rest::TERMINAL_OUTPUT),
    ("wasi:cli/terminal-stdin", rest::TERMINAL_STDIN),
    ("wasi:cli/terminal-stdout", rest::TERMINAL_STDOUT),
    ("wasi:cli/terminal-stderr", rest::TERMINAL_STDERR),
    ("wasi:clocks/monotonic-clock", rest::MONOTONIC_CLOCK),
    ("wasi:clocks/wall-clock", rest::WALL_CLOCK),
    ("wasi:random/random", rest::RANDOM),
    ("wasi:random/insecure", rest::INSECURE),
    ("wasi:random/insecure-seed", rest::INSECURE_SEED),
    ("wasi:http/types@0.3", fields::BOTH),
    ("wasi:http/types@0.3", tasks::FIELDS),
    ("wasi:http/types@0.3", tasks::TYPES),
    ("wasi:clocks/monotonic-clock@0.3", tasks::CLOCKS),
    (BUILTINS, tasks::BUILTINS),
    (BUILTINS, tasks::RETURN),
];

fn functions() -> impl Iterator<Item = (&'static str, &'static Function)> {
    FUNCTIONS.iter().flat_map(|(interface, all)| all.iter().map(|function| (*interface, function)))
}

/// What is known of a function: `interface` without its version, but for the `@0.3` of those that have one; `name` as the
/// core module imports it.
#[must_use]
pub fn find(interface: &str, name: &str) -> Option<Known> {
    signatures::find(interface, name)
}

/// Whether the host has an interface.
#[must_use]
pub fn has(interface: &str) -> bool {
    signatures::has(interface)
}

/// Everything that a lowered guest can import, [`INTERNAL`] included. What is not here does not link.
///
/// # Errors
/// wasmtime's own, when two definitions clash.
pub fn link(linker: &mut Linker<HostState>) -> Result<()> {
    for (module, function) in functions() {
        (function.link)(Slot { linker, module, name: function.name })?;
    }
    linker.func_wrap(INTERNAL, PENDING, |caller: Caller<'_>| caller.data().lowered.delivery.pending())?;
    linker.func_wrap(INTERNAL, PLACE, |mut caller: Caller<'_>, address: u32| {
        let guest = Guest::of(&mut caller)?;
        guest.state.lowered.delivery.place(guest.memory, address)
    })?;
    pages::link_core(linker)
}

/// What the host keeps for a lowered guest.
#[derive(Default)]
pub struct State {
    /// The guest's memory: it is not known before the instance is there.
    memory: Option<Memory>,
    delivery: Delivery,
    tasks: tasks::Tasks,
}

impl State {
    /// The guest's memory.
    pub(super) fn memory(&self) -> Option<Memory> {
        self.memory
    }

    /// Whether nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.tasks.is_idle()
    }

    /// Forgets what the last request left; the memory stays.
    pub(super) fn renew(&mut self) {
        self.delivery.clear();
        self.tasks = tasks::Tasks::default();
    }
}

impl HostState {
    /// Tells which memory is the guest's, once the instance is there.
    pub fn lowered_memory(&mut self, memory: Memory) {
        self.lowered.memory = Some(memory);
    }
}
