//! What a child is told and what it says, to its end.
//! Must never believe a child, nor keep more of what it says than is bounded.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use bytes::Bytes;
use rustix::process::Signal;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin};
use tokio::time::error::Elapsed;

use super::frame::{self, Frame, FrameError};
use super::{CompileError, CompileLimit, Compiled, LOG_BYTES};

/// How a child ended and what it said before.
pub(super) struct Ended {
    frame: Result<Frame, FrameError>,
    log: String,
    status: ExitStatus,
}

/// Tells a child its upload, and hears it out.
pub(super) async fn converse(child: &mut Child, wasm: Bytes) -> io::Result<Ended> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let ((), frame, log) = tokio::join!(
        feed(stdin, wasm),
        async {
            match stdout {
                Some(pipe) => frame::read(pipe).await,
                None => Err(FrameError::Garbled),
            }
        },
        async {
            match stderr {
                Some(pipe) => tail(pipe).await,
                None => String::new(),
            }
        },
    );
    let status = child.wait().await?;
    Ok(Ended { frame, log, status })
}

/// What came of a child that was heard out, or took too long.
pub(super) async fn judge(
    mut child: Child,
    ended: Result<io::Result<Ended>, Elapsed>,
) -> Result<Compiled, CompileError> {
    // The wait for a permit is not the upload's fault; what comes after it is.
    let Ok(ended) = ended else {
        child.kill().await.map_err(|e| CompileError::host("its child could not be killed", e))?;
        return Err(CompileError::Limit { which: CompileLimit::Wall, log: String::new() });
    };
    ended.map_err(|e| CompileError::host("its child could not be awaited", e))?.judge()
}

/// Writes the upload. A child that reads no further has said or is about to say why, so that errors tell nothing.
async fn feed(pipe: Option<ChildStdin>, wasm: Bytes) {
    if let Some(mut pipe) = pipe {
        let _ = pipe.write_all(&wasm).await;
    }
}

/// The last bytes that come out of `pipe`.
async fn tail(mut pipe: impl AsyncRead + Unpin) -> String {
    let mut kept = Vec::new();
    let mut chunk = [0; LOG_BYTES];
    while let Ok(n @ 1..) = pipe.read(&mut chunk).await {
        kept.extend_from_slice(&chunk[..n]);
        kept.drain(..kept.len().saturating_sub(LOG_BYTES));
    }
    String::from_utf8_lossy(&kept).into_owned()
}

impl Ended {
    fn judge(self) -> Result<Compiled, CompileError> {
        let Self { frame, log, status } = self;
        let host = |what, log| CompileError::Host { what, log, source: None };
        if let Some(signal) = status.signal() {
            let which = limit_behind(signal, &log);
            return Err(match which {
                Some(which) => CompileError::Limit { which, log },
                None => host("its child was ended from outside", log),
            });
        }
        if !status.success() {
            return Err(host("its child failed", log));
        }
        match frame {
            Ok(Frame::Compiled(compiled)) => Ok(compiled),
            Ok(Frame::Refused { code, message }) => Err(CompileError::Refused { code, message, log }),
            Ok(Frame::Limit(which)) => Err(CompileError::Limit { which, log }),
            Err(FrameError::Garbled) => Err(host("its child said nothing that makes sense", log)),
            Err(FrameError::Io(source)) => Err(CompileError::Host {
                what: "its child's answer could not be read",
                log,
                source: Some(source),
            }),
        }
    }
}

/// Which limit a signal stands for: none for those that only someone outside sends.
fn limit_behind(signal: i32, log: &str) -> Option<CompileLimit> {
    let is = |known: Signal| signal == known.as_raw();
    if is(Signal::XCPU) {
        Some(CompileLimit::Cpu)
    } else if is(Signal::KILL) || log.contains("memory allocation of") {
        // The kernel's choice when memory runs out.
        Some(CompileLimit::Memory)
    } else if is(Signal::ABORT) || is(Signal::SEGV) || is(Signal::BUS) || is(Signal::ILL) {
        Some(CompileLimit::Crash)
    } else {
        None
    }
}
