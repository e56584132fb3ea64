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
    /// To have its turns in the heavy lane, where it was there.
    Lane,
    /// The rest; of a call that was made twice, all of the first one too.
    Guest,
}

impl Phase {
    /// All of them, in order.
    pub const ALL: [Self; 6] = [Self::Route, Self::Queue, Self::Load, Self::Spawn, Self::Lane, Self::Guest];

    /// The word in `server-timing`, and the label of the metric.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Route => "route",
            Self::Queue => "queue",
            Self::Load => "load",
            Self::Spawn => "spawn",
            Self::Lane => "lane",
            Self::Guest => "guest",
        }
    }
}

/// What the guest's side knows of its times, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GuestTimes {
    /// When its handler was called, on the clock of [`Marks`]; zero if it was not.
    pub spawned_ns: u64,
    /// How long it has waited for its turns in the heavy lane until then.
    pub first_turns_ns: u64,
    /// And in all.
    pub turns_ns: u64,
}

impl GuestTimes {
    /// Of one that was spawned then and waited for nothing.
    #[must_use]
    pub fn spawned(spawned_ns: u64) -> Self {
        Self { spawned_ns, ..Self::default() }
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
    /// Where the time went until `now`.
    #[must_use]
    pub fn laps(&self, guest: GuestTimes, now: u64) -> Laps {
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
        let spawning = or_now(guest.spawned_ns).saturating_sub(again.max(admitted));
        let called = guest.spawned_ns > 0;
        let first_turns = if called { guest.first_turns_ns } else { guest.turns_ns }.min(spawning);
        let mut waiting = first_turns;
        laps.put(Phase::Spawn, spawning - first_turns);
        if called || again > 0 {
            let rest = now.saturating_sub(admitted).saturating_sub(spawning);
            let turns = guest.turns_ns.saturating_sub(guest.first_turns_ns).min(rest);
            waiting += turns;
            laps.put(Phase::Guest, rest - turns);
        }
        if waiting > 0 {
            laps.put(Phase::Lane, waiting);
        }
        laps
    }
}
