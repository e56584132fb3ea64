//! When a version is left alone because it only fails: a state machine that is told the time and what happened.
//! Must never read a clock, nor be asked on the path of a request whose version is well.

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

/// When a breaker opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// Whether versions have one, unless their manifest says no.
    pub enabled: bool,
    /// So many failures in a row open it.
    pub consecutive: u32,
    /// How long failures are remembered, from the first of them on.
    pub window_ms: u64,
    /// So many requests there must have been in that time for their share to count.
    pub least: u32,
    /// This share of failures opens it.
    pub ratio_percent: u32,
    /// How long it stays open at first; twice as long after each probe that failed.
    pub backoff_ms: u64,
    /// How long it stays open at most.
    pub backoff_max_ms: u64,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            enabled: true,
            consecutive: 10,
            window_ms: 10_000,
            least: 50,
            ratio_percent: 50,
            backoff_ms: 1_000,
            backoff_max_ms: 60_000,
        }
    }
}

/// What a breaker does with the next request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Lets it through.
    #[default]
    Closed,
    /// Refuses it until then, and then lets one through as a probe.
    Open {
        /// On the caller's clock.
        until_ms: u64,
    },
    /// Refuses it: the probe has not ended yet.
    Probing {
        /// When it began, on the caller's clock.
        since_ms: u64,
    },
}

/// How a request may enter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// As any other.
    Free,
    /// As the one on which it depends whether others may.
    Probe,
}

/// What a call did to the breaker of its version, if anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It was one failure too many.
    Opened {
        /// For how long it is open now.
        for_ms: u64,
    },
    /// It was the probe, and failed.
    StaysOpen {
        /// For how long from now on.
        for_ms: u64,
    },
    /// It was the probe, and went well: the breaker is closed.
    Healed,
    /// It was the probe, and says nothing about the version: the next request is one.
    Undecided,
}

impl Effect {
    /// The word in records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opened { .. } => "opened",
            Self::StaysOpen { .. } => "stays_open",
            Self::Healed => "healed",
            Self::Undecided => "undecided",
        }
    }

    /// For how long the breaker is open because of it, in milliseconds.
    #[must_use]
    pub const fn open_ms(self) -> Option<u64> {
        match self {
            Self::Opened { for_ms } | Self::StaysOpen { for_ms } => Some(for_ms),
            Self::Healed | Self::Undecided => None,
        }
    }
}

/// The memory of one version's failures.
#[derive(Clone, Debug, Default)]
pub struct Breaker {
    phase: Phase,
    /// Failures since the last request that went well.
    in_a_row: u32,
    /// Since when failures are counted, and what was counted since.
    began_ms: u64,
    good: u64,
    bad: u64,
    /// Probes that failed since it opened.
    probes: u32,
}

impl Breaker {
    /// What it does with the next request.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// A request wants in.
    ///
    /// # Errors
    /// When it may not: after how many milliseconds it is worth asking again.
    pub fn enter(&mut self, rules: &Rules, now_ms: u64) -> Result<Pass, u64> {
        let until = match self.phase {
            Phase::Closed => return Ok(Pass::Free),
            Phase::Open { until_ms } => until_ms,
            // A probe that takes longer than this is no reason to wait any longer.
            Phase::Probing { since_ms } => since_ms.saturating_add(rules.backoff_max_ms),
        };
        if now_ms < until {
            let wait = until - now_ms;
            return Err(if matches!(self.phase, Phase::Open { .. }) {
                wait
            } else {
                wait.min(rules.backoff_ms)
            });
        }
        self.phase = Phase::Probing { since_ms: now_ms };
        Ok(Pass::Probe)
    }

    /// A request that was no probe failed; `good` went well since the last one that failed. Returns whether that was
    /// one too many.
    pub fn failed(&mut self, rules: &Rules, now_ms: u64, good: u64) -> bool {
        if self.phase != Phase::Closed {
            // Let in before it opened: known already.
            return false;
        }
        if self.bad == 0 || self.is_past(rules, now_ms) {
            (self.began_ms, self.good, self.bad) = (now_ms, 0, 0);
        } else {
            self.good = self.good.saturating_add(good);
        }
        self.in_a_row = if good > 0 { 1 } else { self.in_a_row.saturating_add(1) };
        self.bad += 1;
        let all = self.good.saturating_add(self.bad);
        let share = self.bad.saturating_mul(100) >= all.saturating_mul(u64::from(rules.ratio_percent));
        let open = self.in_a_row >= rules.consecutive || (all >= u64::from(rules.least) && share);
        if open {
            self.open(rules, now_ms);
        }
        open
    }

    /// Forgets failures that are past. Returns whether none is remembered any more.
    pub fn calm(&mut self, rules: &Rules, now_ms: u64) -> bool {
        if self.phase == Phase::Closed && self.is_past(rules, now_ms) {
            *self = Self::default();
        }
        self.phase == Phase::Closed && self.bad == 0
    }

    /// The probe ended: well, not well, or without saying anything about the version. Returns whether it closed.
    pub fn probed(&mut self, rules: &Rules, now_ms: u64, well: Option<bool>) -> bool {
        if !matches!(self.phase, Phase::Probing { .. }) {
            return false;
        }
        match well {
            Some(true) => *self = Self::default(),
            Some(false) => {
                self.probes = self.probes.saturating_add(1);
                self.open(rules, now_ms);
            }
            // The next request may be one at once.
            None => self.phase = Phase::Open { until_ms: now_ms },
        }
        self.phase == Phase::Closed
    }

    fn is_past(&self, rules: &Rules, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.began_ms) >= rules.window_ms
    }

    fn open(&mut self, rules: &Rules, now_ms: u64) {
        let doubled = rules.backoff_ms.saturating_mul(1 << self.probes.min(32));
        let until_ms = now_ms.saturating_add(doubled.min(rules.backoff_max_ms));
        *self = Self { phase: Phase::Open { until_ms }, probes: self.probes, ..Self::default() };
    }
}
