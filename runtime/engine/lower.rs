//! Makes one core module of a component that answers by wasi:http: what it imports are the host's own functions, and no
//! adapter, table or handle of the component model stands between the two. Pure bytes to bytes: must never run where a
//! request waits, nor lower a component that could behave differently for it; such a one stays as it is.

mod component;
mod emit;
mod plan;
mod shim;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use wasmparser::{BinaryReaderError, Validator};

use super::profile;
use super::reset::module::rewrite;
use super::reset::{Moves, RESERVED, Why as NotPutBack};
use crate::model::version::Profile;
pub(in crate::engine) use emit::INTERNALS;
use emit::{Emit, Restored};
use plan::Plan;

/// What the module exports that puts its instance back, if it can be: `func() -> i32`, which answers 0 if it is as new.
pub const RESET: &str = "spawnpoint-reset";
/// What the module exports that answers a request: of 0.2 `func(request: i32, out: i32)`, of 0.3
/// `func(request: i32) -> i32`, which says what to do next.
pub const HANDLE: &str = "spawnpoint-handle";
/// What it exports, of 0.3 alone, that is told what has happened: `func(kind: i32, handle: i32, code: i32) -> i32`.
pub const CALLBACK: &str = "spawnpoint-callback";
/// The memory that the module exports.
pub const MEMORY: &str = "spawnpoint-memory";

/// A component as one module.
#[derive(Debug)]
pub struct Lowered {
    /// Its bytes.
    pub module: Vec<u8>,
    /// Where its code was in the component.
    pub moves: Moves,
}

/// Why a component stays one.
#[derive(Debug, thiserror::Error)]
pub enum Why {
    /// It cannot be read, or what was made of it cannot.
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] BinaryReaderError),
    /// It is built in a way that is not known here.
    #[error("it has {0}")]
    Shape(&'static str),
    /// It imports something that only the component path has.
    #[error("it imports `{0}`")]
    Import(String),
}

/// Lowers a component.
///
/// # Errors
/// What about it is not known here.
pub fn lower(component: &[u8]) -> Result<Lowered, Why> {
    let plan = Plan::of(component)?;
    // With all of its state named, if that can be put back; else as it is.
    let restored = match rewrite(component, plan.main.clone()) {
        Ok((state, Some(pieces))) => Some((state, pieces.finish())),
        Ok((_, None)) | Err(NotPutBack::State(_) | NotPutBack::Large) => None,
        Err(NotPutBack::Unreadable(error)) => return Err(error.into()),
    };
    let (main, state, before) = match restored {
        Some((state, (bytes, moves))) => (Cow::Owned(bytes), Some(state), Some(moves)),
        None => (Cow::Borrowed(component.get(plan.main.clone()).unwrap_or_default()), None, None),
    };
    let restored = state.map(|state| Restored { state });
    let (module, moves) = Emit::new(&main, &plan, restored)?.module()?.finish();
    let moves = match before {
        Some(before) => moves.after(&before),
        None => moves.from(plan.main.start),
    };
    if moves.is_too_many() {
        return Err(Why::Shape("too many places that would move"));
    }
    Validator::new_with_features(profile::features(Profile::Lean)).validate_all(&module)?;
    Ok(Lowered { module, moves })
}

/// Whether nobody but this server may use a name.
fn is_ours(name: &str) -> bool {
    name.starts_with(RESERVED)
}
