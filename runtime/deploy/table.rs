//! The live routes: which function answers, with which versions. Read by every thread without a lock, swapped whole.
//! Must never be written but under the one writer's lock, and never wait for a reader.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::ArcSwap;
use http::HeaderValue;

use super::live::Live;
use super::shards::{Named, Shards};
use crate::engine::lanes::Group;
use crate::engine::program::ProgramId;
use crate::host::account::{Account, Accounts};
use crate::host::gate::Gate;
use crate::model::name::{FunctionName, TenantName};
use crate::model::rate::Cell;
use crate::records::{Ledger, Records};
use crate::telemetry::rejected::Rejected;

/// All live routes.
pub struct Table {
    /// What the tenants use.
    pub accounts: Arc<Accounts>,
    routes: ArcSwap<Routes>,
    writer: Mutex<()>,
    /// What calls left behind: a function's part of it lives as long as its route.
    pub records: Records,
    /// Requests that reached no function.
    pub rejected: Rejected,
}

/// One state of the table.
#[derive(Clone, Default)]
pub struct Routes {
    tenants: Shards<Tenant>,
}

/// The functions of one tenant.
struct Tenant {
    name: TenantName,
    functions: Shards<Route>,
}

impl Named for Tenant {
    fn name(&self) -> &str {
        self.name.as_str()
    }
}

impl Named for Route {
    fn name(&self) -> &str {
        self.function.as_str()
    }
}

/// One function that answers.
pub struct Route {
    /// Who owns it.
    pub tenant: TenantName,
    /// What it is called.
    pub function: FunctionName,
    /// What outlives an activation: the count of requests in progress, and the metrics.
    pub shared: Arc<Shared>,
    /// The versions that answer, each with its weight; at most eight.
    pub versions: Vec<(Arc<Live>, u32)>,
    /// Whether it answers nobody until it is resumed.
    pub paused: bool,
    /// Whose turn its heavy calls take: its tenant's.
    pub group: Group,
    total: u64,
}

/// What all routes of one function share, one after the other.
pub struct Shared {
    /// Requests in progress.
    pub gate: Gate,
    /// How often it was asked.
    pub cell: Cell,
    /// What its tenant uses.
    pub account: Arc<Account>,
    /// How often a breaker of its versions opened.
    openings: AtomicU64,
    /// Requests of it that reached no guest.
    pub rejected: Rejected,
    /// The second in which failures were last logged, and how many were: a storm must not fill the log.
    pub logged: AtomicU64,
    /// What its calls used, and the way to their records.
    pub ledger: Arc<Ledger>,
    /// For weighing versions.
    turn: AtomicU32,
    /// Where it answers below the server's root, once somebody has asked it there.
    prefix: OnceLock<HeaderValue>,
}

/// Failures of one function that are logged in one second.
const LOGGED_PER_SECOND: u64 = 10;

impl Shared {
    /// The account of a function that has none yet.
    #[must_use]
    pub fn new(records: &Records, account: Arc<Account>, function: &FunctionName) -> Arc<Self> {
        Arc::new(Self {
            gate: Gate::default(),
            cell: Cell::default(),
            openings: AtomicU64::new(0),
            rejected: Rejected::default(),
            logged: AtomicU64::new(0),
            ledger: records.open(&account.tenant, function),
            turn: AtomicU32::new(0),
            prefix: OnceLock::new(),
            account,
        })
    }

    /// Where this function answers below the server's root: `/tenant/function`.
    pub fn prefix(&self, route: &Route) -> Option<HeaderValue> {
        if let Some(prefix) = self.prefix.get() {
            return Some(prefix.clone());
        }
        let prefix = HeaderValue::try_from(format!("/{}/{}", route.tenant, route.function)).ok()?;
        Some(self.prefix.get_or_init(|| prefix).clone())
    }

    /// Counts that a breaker of its versions opened.
    pub fn breaker_opened(&self) {
        self.openings.fetch_add(1, Relaxed);
    }

    /// How often one did.
    #[must_use]
    pub fn openings(&self) -> u64 {
        self.openings.load(Relaxed)
    }

    /// Whether one more failure may be logged at this time.
    pub fn may_log(&self, now_ns: u64) -> bool {
        let second = (now_ns / 1_000_000_000) << 16;
        let seen = self.logged.load(Relaxed);
        let count = if seen & !0xffff == second { seen & 0xffff } else { 0 };
        self.logged.store(second | (count + 1).min(0xffff), Relaxed);
        count < LOGGED_PER_SECOND
    }
}

impl Route {
    /// A route over these versions.
    #[must_use]
    pub fn new(
        (tenant, function): (TenantName, FunctionName),
        shared: Arc<Shared>,
        versions: Vec<(Arc<Live>, u32)>,
        paused: bool,
    ) -> Self {
        let total = versions.iter().map(|(_, weight)| u64::from(*weight)).sum();
        let group = Group::of(&shared.account);
        Self { tenant, function, shared, versions, paused, group, total }
    }

    /// The version whose turn it is. A route without versions answers nobody.
    #[must_use]
    pub fn pick(&self) -> Option<&Arc<Live>> {
        if let [(only, _)] = self.versions.as_slice() {
            return Some(only);
        }
        // Multiplying by the golden ratio spreads consecutive turns evenly over all weights.
        let turn = self.shared.turn.fetch_add(1, Relaxed).wrapping_mul(0x9e37_79b9);
        let mut at = (u64::from(turn) * self.total) >> 32;
        for (live, weight) in &self.versions {
            match at.checked_sub(u64::from(*weight)) {
                Some(rest) => at = rest,
                None => return Some(live),
            }
        }
        self.versions.last().map(|(live, _)| live)
    }
}

impl Routes {
    /// The route of a function, by names as they were typed.
    #[must_use]
    pub fn find(&self, tenant: &str, function: &str) -> Option<&Arc<Route>> {
        self.tenants.get(tenant)?.functions.get(function)
    }

    /// Every route of a tenant.
    pub fn of(&self, tenant: &str) -> impl Iterator<Item = &Arc<Route>> {
        self.tenants.get(tenant).into_iter().flat_map(|tenant| tenant.functions.iter())
    }

    /// Who owns a program: tenant and function.
    #[must_use]
    pub fn owner(&self, program: ProgramId) -> Option<(&TenantName, &FunctionName)> {
        let of =
            |route: &&Arc<Route>| route.versions.iter().any(|(live, _)| live.id.all().contains(&program));
        self.all().find(of).map(|route| (&route.tenant, &route.function))
    }

    /// Every route.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.tenants.iter().flat_map(|tenant| tenant.functions.iter())
    }

    /// The functions of a tenant, to be changed: nobody but this state of the table sees it.
    fn functions(&self, tenant: &TenantName) -> Shards<Route> {
        self.tenants.get(tenant.as_str()).map(|tenant| tenant.functions.clone()).unwrap_or_default()
    }

    fn put(&mut self, name: &TenantName, functions: Shards<Route>) {
        self.tenants.insert(Arc::new(Tenant { name: name.clone(), functions }));
    }
}

impl Table {
    /// A table without routes.
    #[must_use]
    pub fn new(accounts: Arc<Accounts>) -> Self {
        Self {
            accounts,
            routes: ArcSwap::default(),
            writer: Mutex::default(),
            records: Records::default(),
            rejected: Rejected::default(),
        }
    }

    /// The routes as they are now.
    #[must_use]
    pub fn now(&self) -> arc_swap::Guard<Arc<Routes>> {
        self.routes.load()
    }

    /// Fills the table at start.
    pub fn fill(&self, all: Vec<Arc<Route>>) {
        let mut tenants: HashMap<TenantName, Shards<Route>> = HashMap::new();
        for route in all {
            tenants.entry(route.tenant.clone()).or_default().insert(route);
        }
        let mut routes = Routes::default();
        for (name, functions) in tenants {
            routes.put(&name, functions);
        }
        self.routes.store(Arc::new(routes));
    }

    /// Puts a route in place of the one of the same name, whose shared part it takes over. Returns the old one.
    pub fn put(
        &self,
        tenant: &TenantName,
        function: &FunctionName,
        versions: Vec<(Arc<Live>, u32)>,
        paused: bool,
    ) -> Option<Arc<Route>> {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut routes = Routes::clone(&self.routes.load());
        let mut functions = routes.functions(tenant);
        let old = functions.get(function.as_str()).cloned();
        let shared = match &old {
            Some(old) => old.shared.clone(),
            None => Shared::new(&self.records, self.accounts.of(tenant), function),
        };
        let route = Route::new((tenant.clone(), function.clone()), shared, versions, paused);
        functions.insert(Arc::new(route));
        routes.put(tenant, functions);
        self.routes.store(Arc::new(routes));
        old
    }

    /// Takes a function out. Returns what it was.
    pub fn remove(&self, tenant: &TenantName, function: &FunctionName) -> Option<Arc<Route>> {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut routes = Routes::clone(&self.routes.load());
        let mut functions = routes.functions(tenant);
        let old = functions.remove(function.as_str())?;
        if functions.len() > 0 {
            routes.put(tenant, functions);
        } else {
            routes.tenants.remove(tenant.as_str());
        }
        self.routes.store(Arc::new(routes));
        self.records.forget(&old.shared.ledger);
        Some(old)
    }

    /// Takes a tenant out, with all its functions.
    pub fn remove_tenant(&self, tenant: &TenantName) -> Vec<Arc<Route>> {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut routes = Routes::clone(&self.routes.load());
        let old = routes.tenants.remove(tenant.as_str());
        self.routes.store(Arc::new(routes));
        let old: Vec<_> = old.map(|tenant| tenant.functions.iter().cloned().collect()).unwrap_or_default();
        for route in &old {
            self.records.forget(&route.shared.ledger);
        }
        self.records.forget_tenant(tenant);
        old
    }
}
