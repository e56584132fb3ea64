//! The phases of a request, in order, and how long each took: together they are all of its time.
//! Pure: must never read a clock.

#[cfg(test)]
mod tests;

/// One phase of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// To find the function and be let in.
    Route,
    /// To have a place, and an instance or room for one.
    Queue,
    /// To have its program in memory, where it was not.
    Load,
    /// To have an instance.
    Spawn,
    /// From there on; of a call that was made twice, all of the first one too.
    Guest,
}

impl Phase {
    /// All of them, in order.
    pub const ALL: [Self; 5] = [Self::Route, Self::Queue, Self::Load, Self::Spawn, Self::Guest];

    /// The word in `server-timing`, and the label of the metric.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Route => "route",
            Self::Queue => "queue",
            Self::Load => "load",
            Self::Spawn => "spawn",
            Self::Guest => "guest",
        }
    }
}

/// When each phase ended, in nanoseconds of one clock; zero where it did not.
#[derive(Clone, Copy, Debug, Default)]
pub struct Marks {
    /// The head was whole.
    pub began: u64,
    /// A function was found.
    pub routed: u64,
    /// How long its program was waited for, in nanoseconds; zero if it was at hand.
    pub load_ns: u64,
    /// The request was let in, its program at hand.
    pub admitted: u64,
    /// A first attempt had failed, and the call was made once more.
    pub again: u64,
}

/// How long each phase took, in nanoseconds; `None` for one that was not reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Laps([Option<u64>; Phase::ALL.len()]);

impl Laps {
    /// One for each of [`Phase::ALL`].
    #[must_use]
    pub fn all(&self) -> &[Option<u64>; Phase::ALL.len()] {
        &self.0
    }

    /// Those that were reached, in order.
    pub fn reached(&self) -> impl Iterator<Item = (Phase, u64)> + '_ {
        Phase::ALL.into_iter().zip(self.0).filter_map(|(phase, ns)| Some((phase, ns?)))
    }

    /// Those that were reached, in microseconds: each is cut off so that their sum is that of all of it.
    pub fn reached_us(&self) -> impl Iterator<Item = (Phase, u64)> + '_ {
        let mut ended = 0;
        self.reached().map(move |(phase, ns)| {
            let began = ended;
            ended += ns;
            (phase, ended / 1_000 - began / 1_000)
        })
    }

    /// What one of them took, in nanoseconds.
    #[must_use]
    pub fn of(&self, phase: Phase) -> u64 {
        self.0.get(phase as usize).copied().flatten().unwrap_or(0)
    }

    /// What all of them took, in nanoseconds.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.reached().map(|(_, ns)| ns).sum()
    }

    fn put(&mut self, phase: Phase, ns: u64) {
        if let Some(place) = self.0.get_mut(phase as usize) {
            *place = Some(ns);
        }
    }
}

impl Marks {
    /// Where the time went until `now`. `spawned` is when the guest's handler was called, or zero.
    #[must_use]
    pub fn laps(&self, spawned: u64, now: u64) -> Laps {
        let Self { began, routed, load_ns, admitted, again } = *self;
        let or_now = |at: u64| if at == 0 { now } else { at };
        let mut laps = Laps::default();
        laps.put(Phase::Route, or_now(routed).saturating_sub(began));
        if routed == 0 {
            return laps;
        }
        let waited = or_now(admitted).saturating_sub(routed);
        let loading = load_ns.min(waited);
        laps.put(Phase::Queue, waited - loading);
        if load_ns > 0 {
            laps.put(Phase::Load, loading);
        }
        if admitted == 0 {
            return laps;
        }
        let spawning = or_now(spawned).saturating_sub(again.max(admitted));
        laps.put(Phase::Spawn, spawning);
        if spawned > 0 || again > 0 {
            laps.put(Phase::Guest, now.saturating_sub(admitted).saturating_sub(spawning));
        }
        laps
    }
}
