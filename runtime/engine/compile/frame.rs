//! What a compiling child says: one line of JSON, then the artifact.
//! Must never believe a length it has not bounded: the child has read hostile bytes.

use std::io::{self, Write};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};

use super::{CompileLimit, Compiled, EngineHash};
use crate::engine::componentize::{Code, SourceKind};
use crate::model::version::{Handler, Profile};

/// Bytes of the largest artifact.
pub(super) const ARTIFACT_BYTES: u64 = 512 << 20;
/// Bytes of the longest first line.
const HEADER_BYTES: u64 = 16 << 10;

/// What was compiled, and how long it took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Which export answers requests.
    pub handler: Handler,
    /// The engine it needs.
    pub profile: Profile,
    /// What the upload was.
    pub source: SourceKind,
    /// The engine it was compiled for.
    pub engine_hash: EngineHash,
    /// Milliseconds to sniff, adapt and validate.
    pub componentize_ms: u64,
    /// Milliseconds to compile.
    pub compile_ms: u64,
    /// Bytes of the artifact.
    pub artifact_bytes: u64,
    /// Why it was not lowered, if that was tried.
    pub stays: Option<String>,
}

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub(super) enum Header {
    /// An artifact follows.
    Compiled(Facts),
    /// Nothing follows.
    Refused { code: Code, message: String },
    /// An allocation failed where the compiler could still say so.
    OutOfMemory,
    /// The artifact is larger than the frame may be.
    ArtifactTooLarge,
}

/// A whole frame, read and bounded.
#[derive(Debug)]
pub(super) enum Frame {
    /// An artifact.
    Compiled(Compiled),
    /// The upload is no good.
    Refused { code: Code, message: String },
    /// The upload is too expensive.
    Limit(CompileLimit),
}

/// Why there is no frame.
#[derive(Debug)]
pub(super) enum FrameError {
    /// The child is not what we think it is, or died in the middle.
    Garbled,
    /// The pipe failed.
    Io(io::Error),
}

impl From<io::Error> for FrameError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Writes one frame.
pub(super) fn write(mut out: impl Write, header: &Header, artifact: &[u8]) -> io::Result<()> {
    let mut line = serde_json::to_vec(header)?;
    line.push(b'\n');
    out.write_all(&line)?;
    out.write_all(artifact)?;
    out.flush()
}

/// Reads one frame to the end of `pipe`, which is closed when this returns: a child that says more finds nobody.
pub(super) async fn read(pipe: impl AsyncRead + Unpin) -> Result<Frame, FrameError> {
    let mut pipe = BufReader::new(pipe).take(HEADER_BYTES);
    let mut line = Vec::new();
    pipe.read_until(b'\n', &mut line).await?;
    let facts = match serde_json::from_slice(&line).map_err(|_| FrameError::Garbled)? {
        Header::Compiled(facts) => facts,
        Header::Refused { code, message } => return Ok(Frame::Refused { code, message }),
        Header::OutOfMemory => return Ok(Frame::Limit(CompileLimit::Memory)),
        Header::ArtifactTooLarge => return Ok(Frame::Limit(CompileLimit::Artifact)),
    };
    if facts.artifact_bytes > ARTIFACT_BYTES {
        return Err(FrameError::Garbled);
    }
    let length = usize::try_from(facts.artifact_bytes).map_err(|_| FrameError::Garbled)?;
    let mut artifact = Vec::new();
    artifact.try_reserve_exact(length + 1).map_err(|e| FrameError::Io(io::Error::other(e)))?;
    // One byte more than there may be tells a frame that is too long from one that fits.
    pipe.set_limit(facts.artifact_bytes + 1);
    pipe.read_to_end(&mut artifact).await?;
    if artifact.len() != length {
        return Err(FrameError::Garbled);
    }
    Ok(Frame::Compiled(Compiled { facts, artifact }))
}

/// A duration as the header has it.
pub(super) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
