//! Requests that reached no guest, by code: of one function, or of none.
//! Must never have a code that is not in the table of rejections.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::model::outcome::REJECTIONS;

/// A count for each code, once there is any: most functions refuse nobody.
#[derive(Debug, Default)]
pub struct Rejected(OnceLock<Box<Counts>>);

type Counts = [Count; REJECTIONS.len()];

#[derive(Debug, Default)]
struct Count {
    count: AtomicU64,
    /// When the last one was, in milliseconds since 1970.
    last_ms: AtomicU64,
}

/// Requests of one code that reached no guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turned {
    /// The code.
    pub code: &'static str,
    /// How many.
    pub count: u64,
    /// When the last one was, in milliseconds since 1970.
    pub last_ms: u64,
}

impl Rejected {
    /// Counts one, at this time in milliseconds since 1970.
    pub fn add(&self, code: &str, now_ms: u64) {
        let place = REJECTIONS.iter().position(|each| *each == code);
        if let Some(count) = place.and_then(|place| self.0.get_or_init(Box::default).get(place)) {
            count.count.fetch_add(1, Relaxed);
            count.last_ms.store(now_ms, Relaxed);
        }
    }

    /// The codes that occurred.
    pub fn by_code(&self) -> impl Iterator<Item = Turned> + '_ {
        let counts = self.0.get().into_iter().flat_map(|counts| counts.iter());
        let of = |(code, count): (_, &Count)| {
            let (count, last_ms) = (count.count.load(Relaxed), count.last_ms.load(Relaxed));
            Turned { code, count, last_ms }
        };
        REJECTIONS.into_iter().zip(counts).map(of).filter(|turned| turned.count > 0)
    }
}
