//! What one tenant uses of the server: requests, their rate, and the memory of its instances, with the budget of all.
//! Must never refuse anything by itself: whoever asks decides.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::gate::Gate;
use crate::model::limits::Quota;
use crate::model::name::TenantName;
use crate::model::rate::{Cell, Rate};
use crate::model::share;
use crate::settings::Quotas;

/// What all memories and tables of all instances may be together.
#[derive(Debug)]
pub struct Budget {
    most: u64,
    /// From here on nothing is kept that nobody uses: below what one tenant may have alone.
    high: u64,
    used: AtomicU64,
}

/// What one tenant uses. Shared by all its functions.
#[derive(Debug)]
pub struct Account {
    /// Whose it is.
    pub tenant: TenantName,
    /// What it may use.
    pub quota: Quota,
    /// Its requests in progress; counted only if there is a limit.
    pub gate: Gate,
    rate: Option<Rate>,
    cell: Cell,
    bytes: AtomicU64,
    budget: Arc<Budget>,
}

/// The accounts of all tenants that have a function in memory.
#[derive(Debug)]
pub struct Accounts {
    quotas: Quotas,
    budget: Arc<Budget>,
    all: Mutex<HashMap<TenantName, Weak<Account>>>,
}

impl Budget {
    /// A budget of so many bytes.
    #[must_use]
    pub fn new(most: u64) -> Arc<Self> {
        Arc::new(Self { most, high: most / 100 * 75, used: AtomicU64::new(0) })
    }

    /// What there is in all, in bytes.
    #[must_use]
    pub fn most(&self) -> u64 {
        self.most
    }

    /// What is used, in bytes.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.used.load(Relaxed)
    }

    /// Whether so much is used that nothing is made ahead, and what was is given up.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.used() >= self.high
    }
}

impl Account {
    fn new(tenant: TenantName, quota: Quota, budget: Arc<Budget>) -> Arc<Self> {
        Arc::new(Self {
            tenant,
            quota,
            gate: Gate::default(),
            rate: Rate::new(quota.requests_per_second, quota.burst),
            cell: Cell::default(),
            bytes: AtomicU64::new(0),
            budget,
        })
    }

    /// Lets a request through, or says in how many milliseconds one may come.
    ///
    /// # Errors
    /// When the tenant was asked as often as it may be.
    pub fn take_turn(&self, now_ns: u64) -> Result<(), u64> {
        self.rate.as_ref().map_or(Ok(()), |rate| self.cell.take(rate, now_ns))
    }

    /// The budget it draws on.
    #[must_use]
    pub fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// Bytes its instances hold.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Whether it may have one more instance: not if memory is used up, nor if it holds all of its share.
    #[must_use]
    pub fn may_spawn(&self) -> bool {
        self.may_hold(self.bytes() + 1, self.budget.used() + 1)
    }

    fn may_hold(&self, own: u64, used: u64) -> bool {
        let all = self.budget.most;
        used <= all && share::may_grow(own, all - used, all, self.quota.weight)
    }

    /// Takes memory for an instance. Returns whether there was enough, for all and for this tenant.
    pub fn grow(&self, bytes: u64) -> bool {
        let own = self.bytes.fetch_add(bytes, Relaxed).saturating_add(bytes);
        // What is refused was never counted for all: nobody else is refused because of it.
        let taken = self.budget.used.fetch_update(Relaxed, Relaxed, |used| {
            let used = used.saturating_add(bytes);
            self.may_hold(own, used).then_some(used)
        });
        if taken.is_err() {
            self.bytes.fetch_sub(bytes, Relaxed);
        }
        taken.is_ok()
    }

    /// Gives back what [`Account::grow`] took.
    pub fn shrink(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Relaxed);
        self.budget.used.fetch_sub(bytes, Relaxed);
    }
}

impl Accounts {
    /// No accounts yet. What each may use is in `quotas`, what all may in `budget`.
    #[must_use]
    pub fn new(quotas: Quotas, budget: Arc<Budget>) -> Arc<Self> {
        Arc::new(Self { quotas, budget, all: Mutex::default() })
    }

    /// Accounts of tenants that may use whatever there is.
    #[must_use]
    pub fn unlimited() -> Arc<Self> {
        Self::new(Quotas::default(), Budget::new(u64::MAX))
    }

    /// The account of this tenant.
    #[must_use]
    pub fn of(&self, tenant: &TenantName) -> Arc<Account> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(account) = all.get(tenant).and_then(Weak::upgrade) {
            return account;
        }
        all.retain(|_, account| account.strong_count() > 0);
        let account = Account::new(tenant.clone(), self.quotas.of(tenant), self.budget.clone());
        all.insert(tenant.clone(), Arc::downgrade(&account));
        account
    }

    /// What all of them draw on.
    #[must_use]
    pub fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// All there are.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Account>> {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.values().filter_map(Weak::upgrade).collect()
    }
}
