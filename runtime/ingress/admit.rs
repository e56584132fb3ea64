//! Who is let in: the pause, the breaker, the rates and the number of requests at once, asked in that order.
//! Must never let a guest run without a permit, nor cost a request that is simply let in a lock or a look at the clock.

use std::sync::Arc;

use crate::deploy::live::Live;
use crate::deploy::table::Route;
use crate::host::meter::now_ns;
use crate::model::breaker::{Effect, Pass, Phase};
use crate::model::outcome::{Blame, Outcome, Rejection};

/// The right to run a guest of one function, counted until it is dropped.
pub struct Permit {
    /// The function.
    pub route: Arc<Route>,
    /// The version whose turn it is.
    pub live: Arc<Live>,
    /// Whether it depends on this request whether others may enter.
    probe: bool,
    /// Where it is counted.
    seat: Seat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seat {
    Nowhere,
    /// Among the function's requests.
    Function,
    /// Among the tenant's too.
    Both,
}

impl Permit {
    /// Lets a request in as far as pause, breaker and rates go; [`Permit::sit`] is what comes next.
    ///
    /// # Errors
    /// [`Rejection::Paused`], [`Rejection::BreakerOpen`], [`Rejection::RateLimited`], or [`Rejection::NoRoute`] if no version is active.
    pub fn enter(route: Arc<Route>, now_ns: u64) -> Result<Self, Rejection> {
        if route.paused {
            return Err(Rejection::Paused);
        }
        let live = route.pick().ok_or(Rejection::NoRoute)?.clone();
        let pass = live.fuse.enter(now_ns).map_err(|after_ms| Rejection::BreakerOpen { after_ms })?;
        let permit = Self { route, live, probe: pass == Pass::Probe, seat: Seat::Nowhere };
        permit.take_turn(now_ns).map_err(|after_ms| Rejection::RateLimited { after_ms })?;
        Ok(permit)
    }

    /// Keeps to the rates of the function and of its tenant.
    fn take_turn(&self, now_ns: u64) -> Result<(), u64> {
        let shared = &self.route.shared;
        let rate = self.live.rate.as_ref();
        if let Some(rate) = rate {
            shared.cell.take(rate, now_ns)?;
        }
        let taken = shared.account.take_turn(now_ns);
        if let (Some(rate), Err(_)) = (rate, &taken) {
            // Who is not let in has not been there.
            shared.cell.untake(rate);
        }
        taken
    }

    /// Counts the request among those in progress, if there is room. Returns whether there was.
    pub fn sit(&mut self) -> bool {
        let shared = &self.route.shared;
        if !shared.gate.enter(self.live.limits.concurrent_requests) {
            return false;
        }
        self.seat = Seat::Function;
        let most = shared.account.quota.concurrent_requests;
        if most == 0 {
            return true;
        }
        if shared.account.gate.enter(most) {
            self.seat = Seat::Both;
            return true;
        }
        false
    }

    /// As [`Permit::sit`], for one that did not find room at once: waits a little.
    ///
    /// # Errors
    /// [`Rejection::Throttled`] if there is still none.
    pub async fn wait_to_sit(&mut self) -> Result<(), Rejection> {
        let shared = self.route.shared.clone();
        if self.seat == Seat::Nowhere {
            if !shared.gate.wait(self.live.limits.concurrent_requests).await {
                return Err(Rejection::Throttled);
            }
            self.seat = Seat::Function;
        }
        let most = shared.account.quota.concurrent_requests;
        if most > 0 && !shared.account.gate.enter(most) && !shared.account.gate.wait(most).await {
            return Err(Rejection::Throttled);
        }
        self.seat = if most > 0 { Seat::Both } else { Seat::Function };
        Ok(())
    }

    /// Tells the breaker how the guest ended. Returns what that did to it, if anything.
    pub fn report(&mut self, outcome: &Outcome) -> Option<Effect> {
        let fuse = &self.live.fuse;
        let well = match outcome.row().blame {
            Blame::Nobody if !self.probe => {
                fuse.went_well(now_ns);
                return None;
            }
            Blame::Nobody => Some(true),
            Blame::Function => Some(false),
            Blame::Client | Blame::Host => None,
        };
        let now = now_ns();
        let for_ms = || match fuse.phase() {
            Phase::Open { until_ms } => until_ms.saturating_sub(now / 1_000_000),
            Phase::Closed | Phase::Probing { .. } => 0,
        };
        let effect = if std::mem::take(&mut self.probe) {
            fuse.probed(now, well);
            match well {
                Some(true) => Effect::Healed,
                Some(false) => Effect::StaysOpen { for_ms: for_ms() },
                None => Effect::Undecided,
            }
        } else if well == Some(false) && fuse.failed(now) {
            self.route.shared.breaker_opened();
            Effect::Opened { for_ms: for_ms() }
        } else {
            return None;
        };
        self.log(effect);
        Some(effect)
    }

    fn log(&self, effect: Effect) {
        let (route, version) = (&self.route, self.live.number);
        let (tenant, function) = (&route.tenant, &route.function);
        match effect {
            Effect::Opened { for_ms } => {
                tracing::warn!(%tenant, %function, %version, for_ms, "fails too often: left alone");
            }
            Effect::StaysOpen { for_ms } => {
                tracing::warn!(%tenant, %function, %version, for_ms, "failed when it was tried again: left alone for longer");
            }
            Effect::Healed => {
                tracing::info!(%tenant, %function, %version, "is well when it is tried again: left alone no more");
            }
            Effect::Undecided => {
                tracing::debug!(%tenant, %function, %version, "was tried again, which says nothing about it");
            }
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let shared = &self.route.shared;
        match self.seat {
            Seat::Nowhere => {}
            Seat::Function => shared.gate.leave(),
            Seat::Both => {
                shared.account.gate.leave();
                shared.gate.leave();
            }
        }
        if self.probe {
            // It never came to a guest.
            self.live.fuse.probed(now_ns(), None);
        }
    }
}
