//! What keeps a program from getting into memory. Must never be without its cause.

use std::io;
use std::sync::Arc;

use crate::engine::artifact::LoadError;
use crate::engine::compile::CompileError;
use crate::engine::program::LinkError;
use crate::storage::BlobError;

/// Why there is no program.
#[derive(Debug, thiserror::Error)]
pub enum LoadFailure {
    /// The artifact could not be read or does not fit the pool.
    #[error("the artifact cannot be loaded: {0}")]
    Artifact(#[from] LoadError),
    /// The kept wasm could not be read.
    #[error("the kept wasm cannot be read: {0}")]
    Blob(#[from] BlobError),
    /// The kept wasm could not be compiled again.
    #[error("the kept wasm cannot be compiled: {0}")]
    Compile(#[from] CompileError),
    /// What was compiled could not be kept.
    #[error("the artifact cannot be written")]
    Write(#[source] io::Error),
    /// The component does not fit this platform.
    #[error("{0}: {detail}", detail = detail(.0))]
    Link(#[from] LinkError),
    /// Somebody else tried a moment ago.
    #[error(transparent)]
    Shared(Arc<LoadFailure>),
    /// A thread for slow files was lost.
    #[error("a background thread failed")]
    Thread,
}

impl LoadFailure {
    /// Whether trying again at once may do better: neither where the upload is at fault, nor where what was compiled is lost.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Artifact(LoadError::Io(_))
            | Self::Blob(BlobError::File(_) | BlobError::Interrupted)
            | Self::Compile(CompileError::Host { .. })
            | Self::Thread => true,
            Self::Artifact(_) | Self::Blob(_) | Self::Compile(_) | Self::Write(_) | Self::Link(_) => false,
            Self::Shared(why) => why.may_pass(),
        }
    }
}

fn detail(error: &LinkError) -> String {
    let (LinkError::Unfit(source) | LinkError::Engine { source, .. }) = error;
    format!("{source:#}").chars().take(400).collect()
}
