//! Requests that reached no guest, by code: of one function, or of none.
//! Must never have a code that is not in the table of rejections.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::model::outcome::REJECTIONS;

/// A count for each code, once there is any: most functions refuse nobody.
#[derive(Debug, Default)]
pub struct Rejected(OnceLock<Box<Counts>>);

type Counts = [AtomicU64; REJECTIONS.len()];

impl Rejected {
    /// Counts one.
    pub fn add(&self, code: &str) {
        let place = REJECTIONS.iter().position(|each| *each == code);
        if let Some(count) = place.and_then(|place| self.0.get_or_init(Box::default).get(place)) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// The codes that occurred, with their counts.
    pub fn by_code(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let counts = self.0.get().into_iter().flat_map(|counts| counts.iter());
        REJECTIONS.into_iter().zip(counts.map(|count| count.load(Relaxed))).filter(|(_, count)| *count > 0)
    }
}
