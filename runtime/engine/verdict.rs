//! Why a call failed, read off wasmtime's error and the call's own account.
//! Must never be asked about a call that ended cleanly.

use wasmtime::component::ResourceTableError;
use wasmtime::{Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use super::lower;
use super::program::SpawnError;
use super::reset::Moves;
use crate::host::meter::Meter;
use crate::model::frame::Frame;
use crate::model::limits::HANDLES;
use crate::model::outcome::Outcome;

/// Characters of a guest's error that are kept.
const DETAIL: usize = 300;
/// How the engine begins what it says of frames.
const FRAMES: &str = "error while executing at wasm backtrace";

/// What to call this failure. What the account says comes first: a guest that ran out of something may end in any trap it
/// likes.
#[must_use]
pub fn of_error(error: &wasmtime::Error, meter: &Meter) -> Outcome {
    if meter.cpu_exceeded() {
        return Outcome::CpuLimit;
    }
    if meter.request_body_exceeded() {
        return Outcome::PayloadTooLarge;
    }
    if meter.memory_short() {
        return Outcome::MemoryShort;
    }
    if meter.memory_refused() {
        return Outcome::MemoryLimit;
    }
    if let Some(trap) = error.downcast_ref::<Trap>() {
        return Outcome::Trapped(trap.to_string());
    }
    if let Some(I32Exit(code)) = error.downcast_ref::<I32Exit>() {
        return Outcome::Trapped(format!("the guest exited with code {code}"));
    }
    let causes = causes(error);
    // The engine says that a table is full, and not which.
    let full = matches!(error.downcast_ref(), Some(ResourceTableError::Full));
    Outcome::Trapped(if full {
        format!("it held {HANDLES} handles, as many as it may: {causes}")
    } else {
        causes
    })
}

/// What to call a guest that could not even start; `None` when the server had no slot for it.
#[must_use]
pub fn of_spawn(error: &SpawnError, meter: &Meter) -> Option<Outcome> {
    match error {
        SpawnError::Full => None,
        SpawnError::Guest(error) => Some(of_error(error, meter)),
    }
}

/// The guest's stack, innermost first, with places in what was uploaded; the engine captures a bounded part of it. Names are
/// not demangled here: most failures of a storm are counted and never looked at.
pub(super) fn backtrace(error: &wasmtime::Error, moves: Option<&Moves>, lowered: bool) -> Vec<Frame> {
    let captured = error.downcast_ref::<WasmBacktrace>();
    let frames = captured.map(WasmBacktrace::frames).unwrap_or_default().iter();
    let origin = |offset: usize| {
        let offset = u64::try_from(offset).ok()?;
        moves.map_or(Some(offset), |moves| moves.origin(offset))
    };
    // What is imported before everything else is ours.
    let index = |index: u32| if lowered { index.saturating_sub(lower::INTERNALS) } else { index };
    let frames = frames.map(|each| {
        Frame::new(each.func_name(), index(each.func_index()), each.module_offset().and_then(origin))
    });
    frames.collect()
}

/// What went wrong, the first cause last. The engine's own list of frames is none: where the guest was is told apart from this.
fn causes(error: &wasmtime::Error) -> String {
    let texts = error.chain().map(ToString::to_string);
    let mut texts: Vec<_> = texts.filter(|text| !text.starts_with(FRAMES)).collect();
    // What caused it all is worth more than what was said of it on the way.
    while texts.len() > 1 && texts.iter().map(|text| text.len() + 2).sum::<usize>() > DETAIL {
        texts.remove(0);
    }
    let keep = |c: char| if c.is_control() { ' ' } else { c };
    texts.join(": ").chars().take(DETAIL).map(keep).collect()
}

#[cfg(test)]
mod tests;
