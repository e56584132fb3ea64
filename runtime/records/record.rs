//! One record: what is known of one call once it has ended. Raw, because most records are never read.
//! Must never take more memory than its bound, whatever the guest printed or was called.

use crate::model::breaker::Effect;
use crate::model::frame::Frame;
use crate::model::name::{FunctionName, TenantName};
use crate::model::outcome::Start;
use crate::model::request_id::RequestId;
use crate::model::version::{Digest, VersionNumber};

/// One call that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Which request.
    pub id: RequestId,
    /// Whose function.
    pub tenant: TenantName,
    /// Which function.
    pub function: FunctionName,
    /// Which version of it.
    pub version: VersionNumber,
    /// What that was made of: it may hold debug information.
    pub digest: Digest,
    /// When it ended, in milliseconds since 1970.
    pub at_ms: u64,
    /// Which guest of this call it was: 2 if another one had failed before.
    pub attempt: u8,
    /// How the next attempt ended, which is what the caller was answered; `None` if there was none.
    pub retried: Option<&'static str>,
    /// How: one of [`super::CODES`], or [`super::GOOD`].
    pub code: &'static str,
    /// The engine's words for it; may be empty.
    pub detail: String,
    /// How its instance came to be; `None` if none did.
    pub start: Option<Start>,
    /// What it did to its version's breaker, if anything.
    pub breaker: Option<Effect>,
    /// The limit it ran into, if it did.
    pub limit: Option<Use>,
    /// What it used.
    pub spent: Spent,
    /// Where the time went.
    pub phases: Phases,
    /// Where the guest was, innermost first.
    pub backtrace: Vec<Frame>,
    /// The last lines it printed, oldest first.
    pub log: Vec<Vec<u8>>,
}

/// A limit, by its key in the manifest, and how much of it was used or asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use {
    /// The key below `limits`.
    pub key: &'static str,
    /// What was allowed.
    pub limit: u64,
    /// What was used, or asked for.
    pub used: u64,
}

/// What a call used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// CPU time, in nanoseconds.
    pub cpu_ns: u64,
    /// From its whole head to its end, in nanoseconds.
    pub wall_ns: u64,
    /// The most memory and tables it held at once.
    pub peak_memory_bytes: u64,
}

/// Where the time went, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phases {
    /// To find the function.
    pub route_ns: u64,
    /// To have a place, and an instance or room for one.
    pub queue_ns: u64,
    /// To have its program in memory, where it was not.
    pub load_ns: u64,
    /// To have an instance.
    pub spawn_ns: u64,
    /// To have its turns in the heavy lane, where it was there.
    pub lane_ns: u64,
    /// The rest, to the guest's end.
    pub guest_ns: u64,
    /// From the request's head to the answer's; `None` if there was none.
    pub first_byte_ns: Option<u64>,
}

/// Bytes one record takes at most.
pub(super) const BYTES: usize = 8 * 1024;
/// What a map entry and an allocation cost beside it.
const OVERHEAD: usize = 256;

impl Record {
    /// Bytes it takes in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let frames: usize = self.backtrace.iter().map(Frame::bytes).sum();
        let lines: usize = self.log.iter().map(|line| size_of::<Vec<u8>>() + line.len()).sum();
        size_of::<Self>() + OVERHEAD + self.detail.len() + frames + lines
    }

    /// Cuts it to its bound: the outermost frames go first, then the oldest lines, then the detail.
    pub(super) fn fit(&mut self) {
        while self.bytes() > BYTES && !self.backtrace.is_empty() {
            self.backtrace.pop();
        }
        let mut over = self.bytes().saturating_sub(BYTES);
        let oldest = self.log.iter().take_while(|line| {
            let goes = over > 0;
            over = over.saturating_sub(size_of::<Vec<u8>>() + line.len());
            goes
        });
        let oldest = oldest.count();
        self.log.drain(..oldest);
        let over = self.bytes().saturating_sub(BYTES);
        let keep = self.detail.floor_char_boundary(self.detail.len().saturating_sub(over));
        self.detail.truncate(keep);
        // Lines are kept in buffers that longer ones may have used before.
        self.log.iter_mut().for_each(Vec::shrink_to_fit);
        self.log.shrink_to_fit();
        self.backtrace.shrink_to_fit();
    }
}
