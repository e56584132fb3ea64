//! Which lines of source the frames of a backtrace stand for: found out when somebody reads a record, and kept for the
//! next one. Must never make a call, or whoever reads, wait for what debug information is worth.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::loader::Loader;
use crate::engine::locate::{ASKED, Located, Locator};
use crate::model::place;
use crate::model::version::Digest;
use crate::storage::{BlobError, Blobs};
use crate::tasks;

/// One instruction of one upload.
pub type At = (Digest, u64);

/// What is known of instructions, in the words that follow a frame.
pub type Known = HashMap<At, Arc<str>>;

/// Finds places and keeps them.
#[derive(Clone, Debug)]
pub(super) struct Places {
    locator: Locator,
    kept: Arc<Mutex<Kept>>,
}

/// The newest answers.
#[derive(Debug, Default)]
struct Kept {
    known: Known,
    order: VecDeque<At>,
}

/// Answers that are kept; each is below 3 KiB, and most are below 200 bytes.
const KEPT: usize = 4_096;
/// How long whoever reads records waits for places in all. What is not known by then is known the next time.
const PATIENCE: Duration = Duration::from_secs(12);

/// Why nothing was found out; worth another try.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("the kept wasm cannot be read")]
    Blob(#[from] BlobError),
    #[error("the child that reads debug information did not work")]
    Child(#[from] std::io::Error),
}

impl Loader {
    /// Where these instructions come from; what is not known, or not in time, is left out. Goes on if nobody waits for
    /// it any more, so that it is known the next time.
    pub async fn places(&self, wanted: impl IntoIterator<Item = At>) -> Known {
        let mut known = Known::new();
        let mut unknown = HashMap::<Digest, Vec<u64>>::new();
        {
            let kept = self.places.kept();
            for at in wanted {
                match kept.known.get(&at) {
                    Some(text) => drop(known.insert(at, text.clone())),
                    None => unknown.entry(at.0).or_default().push(at.1),
                }
            }
        }
        if unknown.is_empty() {
            return known;
        }
        let (places, blobs) = (self.places.clone(), self.blobs().clone());
        // On the runtime whose threads live as long as the process: a child ends with the thread that started it.
        let finding = tasks::on(self.control(), async move {
            let mut all = Known::new();
            for (digest, offsets) in unknown {
                match places.find(&blobs, digest, offsets).await {
                    Ok(found) => all.extend(found),
                    Err(error) => {
                        let source = std::error::Error::source(&error);
                        tracing::warn!(%digest, %error, source, "a backtrace is told without lines");
                    }
                }
            }
            all
        });
        if let Ok(Ok(found)) = tokio::time::timeout(PATIENCE, finding).await {
            known.extend(found);
        }
        known
    }
}

impl Places {
    pub(super) fn new(locator: Locator) -> Self {
        Self { locator, kept: Arc::default() }
    }

    /// What is known of these instructions of one upload, after a child was asked about those that are new.
    async fn find(&self, blobs: &Blobs, digest: Digest, mut offsets: Vec<u64>) -> Result<Known, Failed> {
        let _turn = self.locator.turn().await?;
        let mut all = Known::new();
        offsets.sort_unstable();
        offsets.dedup();
        {
            // Somebody else may have asked the same while this one waited.
            let kept = self.kept();
            offsets.retain(|offset| match kept.known.get(&(digest, *offset)) {
                Some(text) => all.insert((digest, *offset), text.clone()).is_some(),
                None => true,
            });
        }
        offsets.truncate(ASKED);
        if offsets.is_empty() {
            return Ok(all);
        }
        let wasm = match blobs.open_file(digest).await {
            // Its version is no longer kept.
            Err(BlobError::Missing(_)) => return Ok(all),
            other => other?,
        };
        let found = match self.locator.locate(wasm, &offsets).await? {
            Located::Places(places) => places,
            Located::Hopeless => {
                tracing::info!(%digest, "debug information that cannot be read, or not within the limits");
                vec![Vec::new(); offsets.len()]
            }
        };
        let mut kept = self.kept();
        for (offset, places) in offsets.into_iter().zip(found) {
            let text: Arc<str> = place::told(&places).into();
            kept.keep((digest, offset), text.clone());
            all.insert((digest, offset), text);
        }
        Ok(all)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// Keeps one, at the expense of the oldest.
    fn keep(&mut self, at: At, text: Arc<str>) {
        if self.known.insert(at, text).is_none() {
            self.order.push_back(at);
        }
        while self.order.len() > KEPT {
            if let Some(oldest) = self.order.pop_front() {
                self.known.remove(&oldest);
            }
        }
    }
}
