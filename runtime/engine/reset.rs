//! Gives a component a function that puts its instances back to how they were made: the memory that was written, and
//! every global. Pure bytes to bytes: must never run where a request waits, nor touch a component that has other state.
//!
//! What is not put back must not be able to change. So a component is left as it is if it has code that runs while it is
//! instantiated, tables or segments that its code changes, resources of its own, or more than one memory. What a guest
//! has grown its memory by stays, unseen: each `memory.grow` and `memory.size` goes by a size that is put back, too.

pub(in crate::engine) mod module;
pub(in crate::engine) mod moves;
pub(in crate::engine) mod restorer;
mod survey;
#[cfg(test)]
mod tests;

use wasmparser::{BinaryReaderError, Validator};

pub use moves::Moves;

use super::profile;
use crate::model::version::Profile;
use moves::Pieces;
use survey::Survey;

/// What the component exports then: `func() -> u32`, which answers 0 if it is as new.
pub const EXPORT: &str = "spawnpoint-reset";
/// Names that begin so are ours, in components and in their modules.
pub const RESERVED: &str = "spawnpoint";

/// Wasm pages a memory may begin with. The kernel is asked about each page of it: of 4 MiB in 7 us, and a new instance
/// costs 11.
const INITIAL_PAGES: u64 = 64;
/// Elements that are put into their places when an instance is made, which nothing interrupts; tools write as many as a module
/// has imports.
const PLACED: u32 = 1_024;
/// Bytes of the initial data, gaps included: they are in the artifact once more.
const IMAGE_BYTES: u64 = 1 << 20;

/// A component whose instances can be put back.
#[derive(Debug)]
pub struct Resettable {
    /// Its bytes.
    pub component: Vec<u8>,
    /// Where its code was in the bytes it was made of.
    pub moves: Moves,
}

/// Why the instances of a component cannot be put back.
#[derive(Debug, thiserror::Error)]
pub enum Why {
    /// No component that could be read, or one that has become none.
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] BinaryReaderError),
    /// It has state that nobody could put back.
    #[error("it has {0}")]
    State(&'static str),
    /// Putting back its memory would take longer than making another instance, or too much of it would move.
    #[error("it is too large")]
    Large,
}

/// Adds what puts instances of this component back.
///
/// # Errors
/// What about it cannot be put back.
pub fn resettable(component: &[u8], profile: Profile) -> Result<Resettable, Why> {
    let survey = Survey::of(component)?;
    let mut pieces = Pieces::default();
    let mut copied = 0;
    let mut states = Vec::new();
    for inline in &survey.modules {
        let Some(instance) = inline.instance else { continue };
        let (state, rewritten) = module::rewrite(component, inline.bytes.clone())?;
        let Some(rewritten) = rewritten else { continue };
        pieces.copy(component, copied..inline.header);
        pieces.section(module::CORE_MODULE, rewritten);
        copied = inline.bytes.end;
        states.push((instance, state));
    }
    pieces.copy(component, copied..component.len());
    pieces.put(restorer::tail(&survey.counts, &states)?);
    let (component, moves) = pieces.finish();
    if moves.is_too_many() {
        return Err(Why::Large);
    }
    Validator::new_with_features(profile::features(profile)).validate_all(&component)?;
    Ok(Resettable { component, moves })
}
