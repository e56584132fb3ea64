//! The hash that says which engine an artifact fits.
//! Must never depend on anything that differs between two processes of one binary on one machine.

use std::fmt;
use std::hash::{Hash as _, Hasher};
use std::str::FromStr;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};
use wasmtime::Engine;

use crate::engine::profile::{self, Purpose};
use crate::model::version::Profile;

/// What an artifact must fit: wasmtime's version, the settings that code depends on, and the CPU's features.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EngineHash([u8; 32]);

/// What a lowered module and its host agree on; another number makes every artifact be compiled anew.
const LOWERED: &[u8] = b"lowered 1";

/// Text that is no engine hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an engine hash is 64 hexadecimal digits")]
pub struct EngineHashError;

impl EngineHash {
    /// The hash of this engine, for artifacts whose components are lowered where that can be done, or never.
    #[must_use]
    pub fn of(engine: &Engine, lowers: bool) -> Self {
        let mut stable = Stable(blake3::Hasher::new());
        engine.precompile_compatibility_hash().hash(&mut stable);
        if lowers {
            stable.0.update(LOWERED);
        }
        Self(*stable.0.finalize().as_bytes())
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Enough of it for a file's name.
    #[must_use]
    pub fn short(&self) -> String {
        hex::encode(&self.0[..8])
    }
}

/// The hash of the engine that compiles for a profile, which is that of the one that serves it; and whether components
/// are lowered.
///
/// # Errors
/// wasmtime's own, when it refuses the configuration.
pub fn engine_hash(profile: Profile, lowers: bool) -> wasmtime::Result<EngineHash> {
    static HASHES: [[OnceLock<EngineHash>; 2]; 2] = [const { [const { OnceLock::new() }; 2] }; 2];
    let hash = &HASHES[usize::from(profile == Profile::Async)][usize::from(lowers)];
    if let Some(hash) = hash.get() {
        return Ok(*hash);
    }
    let made = EngineHash::of(&profile::engine(profile, Purpose::Compile)?, lowers);
    Ok(*hash.get_or_init(|| made))
}

impl fmt::Display for EngineHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for EngineHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for EngineHash {
    type Err = EngineHashError;

    fn from_str(text: &str) -> Result<Self, EngineHashError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| EngineHashError)?;
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for EngineHash {
    type Error = EngineHashError;

    fn try_from(text: String) -> Result<Self, EngineHashError> {
        text.parse()
    }
}

impl From<EngineHash> for String {
    fn from(hash: EngineHash) -> Self {
        hash.to_string()
    }
}

/// BLAKE3 as a `Hasher`: std's own promises no result that is the same in another build or process.
struct Stable(blake3::Hasher);

impl Hasher for Stable {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let mut first = [0; 8];
        first.copy_from_slice(&self.0.finalize().as_bytes()[..8]);
        u64::from_le_bytes(first)
    }
}
