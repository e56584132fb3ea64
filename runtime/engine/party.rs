//! Who uses how much of one thread: its tenants, and whoever has not said yet whose function is called.
//! Must never hold anybody back itself: the turnstile and the lanes ask.

#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use crate::host::account::Account;
use crate::model::allowance::{Allowance, Company};
use crate::model::lately::Lately;

/// What guests use of a party that hogs the thread counts so many times: it is let off when it uses a fourth of its part, which those
/// that only wait for others in the heavy lane do not.
const STRICTER: u64 = 4;

/// Everybody who wants something of one thread.
#[derive(Default)]
pub struct Parties {
    tenants: RefCell<HashMap<*const Account, Rc<Party>>>,
    strangers: Rc<Party>,
    lost: Rc<Party>,
    mixed: Rc<Party>,
    company: Cell<Company>,
    /// What was used by all of them, in nanoseconds, and the parts of those that used any.
    used: Cell<Lately>,
    parts: Cell<Lately>,
    /// What guests have been charged together, in nanoseconds.
    charged_ns: Cell<u64>,
}

/// A tenant on one thread; or others who are none, like all strangers there.
#[derive(Default)]
pub struct Party {
    /// Kept, so that no other tenant comes to its address.
    account: Option<Arc<Account>>,
    used: Cell<Used>,
}

/// How much of a thread a party uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// All, or none: nobody else is there.
    Alone,
    /// Less than its part.
    Modest,
    /// Half of what it may use at once: it matters what it uses from here on.
    NearlyGreedy,
    /// More than others need put up with.
    Greedy,
}

/// What a party has used of the thread.
#[derive(Clone, Copy, Default)]
struct Used {
    /// By its guests and by whatever else was done for it.
    in_all: Allowance,
    lately: Lately,
    by_guests: Allowance,
    /// Whether its guests used more than its part, and have not paused for it since.
    hogs: bool,
    /// When that was looked at last.
    now_ns: u64,
}

impl Party {
    /// Whether it is this tenant.
    #[must_use]
    pub fn is_of(&self, account: &Arc<Account>) -> bool {
        self.account.as_ref().is_some_and(|own| Arc::ptr_eq(own, account))
    }

    /// How many parts it has.
    #[must_use]
    pub fn weight(&self) -> u32 {
        self.account.as_ref().map_or(1, |account| account.quota.weight)
    }

    /// Takes note of time that a guest used elsewhere: where it goes on does not change whether it is more than its part.
    pub fn charge_elsewhere(&self, used_ns: u64) {
        let (mut used, weight) = (self.used.get(), self.weight());
        let counts_ns = if used.hogs { used_ns.saturating_mul(STRICTER) } else { used_ns };
        used.by_guests.charge(counts_ns, used.now_ns, weight);
        self.used.set(used);
    }
}

impl Parties {
    /// A tenant's.
    #[must_use]
    pub fn of(&self, account: &Arc<Account>) -> Rc<Party> {
        let mut tenants = self.tenants.borrow_mut();
        let new = || Rc::new(Party { account: Some(account.clone()), used: Cell::default() });
        tenants.entry(Arc::as_ptr(account)).or_insert_with(new).clone()
    }

    /// Of connections whose first request is yet to come.
    #[must_use]
    pub fn strangers(&self) -> Rc<Party> {
        self.strangers.clone()
    }

    /// Whether it is that one.
    #[must_use]
    pub fn are_strangers(&self, party: &Rc<Party>) -> bool {
        Rc::ptr_eq(party, &self.strangers)
    }

    /// Of connections whose last request was for nobody's function.
    #[must_use]
    pub fn lost(&self) -> Rc<Party> {
        self.lost.clone()
    }

    /// Of connections that ask for functions of several tenants side by side.
    #[must_use]
    pub fn mixed(&self) -> Rc<Party> {
        self.mixed.clone()
    }

    /// How much of the thread it uses, for whoever else is there. They are told that it is there, if it is a tenant.
    #[must_use]
    pub fn standing(&self, party: &Rc<Party>, now_ns: u64) -> Standing {
        if !self.are_others_there(party, now_ns) {
            return Standing::Alone;
        }
        let (used, weight) = (party.used.get().in_all, party.weight());
        match used.is_spent(now_ns, weight) {
            // Who uses less than others do is not whom they wait for, however much that is.
            true if self.uses_its_part(party, now_ns) => Standing::Greedy,
            true => Standing::NearlyGreedy,
            false if used.is_half_spent(now_ns, weight) => Standing::NearlyGreedy,
            false => Standing::Modest,
        }
    }

    /// Whether its guests alone have used more than its part of a thread, here or in the heavy lane, and there are others. Until it has used
    /// less than a fourth of that for a while: whoever uses just as much would be let off at every other call.
    #[must_use]
    pub fn is_hogging(&self, party: &Rc<Party>, now_ns: u64) -> bool {
        let others = self.are_others_there(party, now_ns);
        let mut used = party.used.get();
        used.hogs = if used.hogs {
            !used.by_guests.is_paid(now_ns)
        } else {
            others && used.by_guests.is_spent(now_ns, party.weight())
        };
        party.used.set(used);
        others && used.hogs
    }

    fn are_others_there(&self, party: &Rc<Party>, now_ns: u64) -> bool {
        let mut company = self.company.get();
        let others = if party.account.is_none() {
            // They may turn out to be whoever is there: to a tenant they are nobody.
            company.is_there(now_ns)
        } else {
            company.enters(Rc::as_ptr(party).addr(), now_ns)
        };
        self.company.set(company);
        party.used.set(Used { now_ns, ..party.used.get() });
        others
    }

    /// Takes note of time that was used for a party besides its guests. That alone sends no call to the heavy lane.
    pub fn charge(&self, party: &Party, used_ns: u64) {
        let (mut used, weight) = (party.used.get(), party.weight());
        used.in_all.charge(used_ns, used.now_ns, weight);
        let (mut all, mut parts) = (self.used.get(), self.parts.get());
        all.add(used_ns, used.now_ns);
        if used.lately.add(used_ns, used.now_ns) {
            parts.add(weight.into(), used.now_ns);
        }
        party.used.set(used);
        self.used.set(all);
        self.parts.set(parts);
    }

    /// Takes note of time that a guest of this party has used.
    pub fn charge_guest(&self, party: &Party, used_ns: u64) {
        self.charged_ns.set(self.charged_ns.get().wrapping_add(used_ns));
        party.charge_elsewhere(used_ns);
        self.charge(party, used_ns);
    }

    /// Whether it has used as much as the others, each for its parts, or more.
    fn uses_its_part(&self, party: &Party, now_ns: u64) -> bool {
        let own = party.used.get().lately.sum(now_ns);
        let (all, parts) = (self.used.get().sum(now_ns), self.parts.get().most(now_ns));
        own.saturating_mul(parts) >= all.saturating_mul(party.weight().into())
    }

    /// What guests have been charged so far, anybody's.
    #[must_use]
    pub fn charged_ns(&self) -> u64 {
        self.charged_ns.get()
    }

    /// Forgets tenants that want nothing here any more.
    pub fn settle(&self) {
        self.tenants.borrow_mut().retain(|_, party| Rc::strong_count(party) > 1);
    }
}
