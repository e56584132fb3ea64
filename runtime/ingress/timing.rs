//! A `server-timing` field in the making, without an allocation.
//! Must never say more than phases, milliseconds and how an instance came to be.

use crate::model::outcome::Start;
use crate::model::phase::{Laps, Phase};

/// The text of a field.
pub(super) struct Timing {
    text: [u8; Self::ROOM],
    used: usize,
}

impl Timing {
    /// Room for six phases of twenty digits each, with their names.
    const ROOM: usize = 256;

    /// Tells how long each phase took, and beside `spawn` what there was to spawn.
    pub(super) fn new(laps: &Laps, start: Option<Start>) -> Self {
        let mut timing = Self { text: [0; Self::ROOM], used: 0 };
        for (phase, us) in laps.reached_us() {
            if timing.used > 0 {
                timing.push(", ");
            }
            timing.phase(phase, us);
            if let (Phase::Spawn, Some(start)) = (phase, start) {
                timing.push(";desc=\"");
                timing.push(start.as_str());
                timing.push("\"");
            }
        }
        timing
    }

    fn push(&mut self, text: &str) {
        let end = self.used + text.len();
        if let Some(room) = self.text.get_mut(self.used..end) {
            room.copy_from_slice(text.as_bytes());
            self.used = end;
        }
    }

    /// Milliseconds with three decimals, without going through floating point.
    fn phase(&mut self, phase: Phase, us: u64) {
        self.push(phase.as_str());
        self.push(";dur=");
        let mut digits = itoa::Buffer::new();
        self.push(digits.format(us / 1_000));
        // A thousand more, for the zeros in front.
        let decimals = digits.format(1_000 + us % 1_000);
        self.push(".");
        self.push(decimals.get(1..).unwrap_or(""));
    }

    pub(super) fn text(&self) -> &[u8] {
        self.text.get(..self.used).unwrap_or_default()
    }
}
