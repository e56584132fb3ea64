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

/// Everybody who wants something of one thread.
#[derive(Default)]
pub struct Parties {
    tenants: RefCell<HashMap<*const Account, Rc<Party>>>,
    strangers: Rc<Party>,
    lost: Rc<Party>,
    company: Cell<Company>,
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
    by_guests: Allowance,
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

    /// Takes note of time that was used for it besides its guests. That alone sends no call to the heavy lane.
    pub fn charge(&self, used_ns: u64) {
        let (mut used, weight) = (self.used.get(), self.weight());
        used.in_all.charge(used_ns, used.now_ns, weight);
        self.used.set(used);
    }

    fn charge_guest(&self, used_ns: u64) {
        let (mut used, weight) = (self.used.get(), self.weight());
        used.by_guests.charge(used_ns, used.now_ns, weight);
        self.used.set(used);
        self.charge(used_ns);
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

    /// How much of the thread it uses, for whoever else is there. They are told that it is there, if it is a tenant.
    #[must_use]
    pub fn standing(&self, party: &Rc<Party>, now_ns: u64) -> Standing {
        if !self.are_others_there(party, now_ns) {
            return Standing::Alone;
        }
        let (used, weight) = (party.used.get().in_all, party.weight());
        match (used.is_spent(now_ns, weight), used.is_half_spent(now_ns, weight)) {
            (true, _) => Standing::Greedy,
            (false, true) => Standing::NearlyGreedy,
            (false, false) => Standing::Modest,
        }
    }

    /// Whether its guests alone have used more of the thread than its part, and there are others.
    #[must_use]
    pub fn is_hogging(&self, party: &Rc<Party>, now_ns: u64) -> bool {
        self.are_others_there(party, now_ns) && party.used.get().by_guests.is_spent(now_ns, party.weight())
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

    /// Takes note of time that a guest of this party has used.
    pub fn charge_guest(&self, party: &Party, used_ns: u64) {
        self.charged_ns.set(self.charged_ns.get().wrapping_add(used_ns));
        party.charge_guest(used_ns);
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
