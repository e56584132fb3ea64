//! What `/metrics` answers: what was counted as it happened, and what is looked at only when somebody asks.
//! Must never make whoever is counted wait for it, nor name a function or a tenant that is gone.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use metrics_exporter_prometheus::PrometheusHandle;

use crate::deploy::table::{Route, Routes, Table};
use crate::model::breaker::Phase;
use crate::telemetry::rejected::{Rejected, Turned};
use crate::telemetry::text::Text;
use crate::telemetry::times::{self, Times};

/// Everything that metrics are made of.
pub(super) struct Scrape {
    /// What is counted where it happens, without a name of a tenant or a function.
    pub counted: PrometheusHandle,
    /// The live routes: the counts of a function go with its route.
    pub table: Arc<Table>,
    /// What requests took, by thread.
    pub times: Arc<[Arc<Times>]>,
}

impl Scrape {
    /// All metrics as text.
    pub(super) fn text(&self) -> String {
        gauge(&self.table);
        let mut text = Text::after(self.counted.render());
        tenants(&self.table, &mut text);
        functions(&self.table.now(), &self.table.rejected, &mut text);
        times::write(&self.times, &mut text);
        text.into_string()
    }
}

/// Sets what is not counted as it happens, but looked at when somebody asks.
#[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
fn gauge(table: &Table) {
    let budget = table.accounts.budget();
    metrics::gauge!("spawnpoint_memory_bytes").set(budget.used() as f64);
    metrics::gauge!("spawnpoint_memory_budget_bytes").set(budget.most() as f64);
    let routes = table.now();
    metrics::gauge!("spawnpoint_functions").set(routes.all().count() as f64);
    let lives = routes.all().flat_map(|route| &route.versions);
    let open = lives.filter(|(live, _)| live.fuse.phase() != Phase::Closed).count();
    metrics::gauge!("spawnpoint_breakers_open").set(open as f64);
}

/// What each tenant holds that has a function in memory.
fn tenants(table: &Table, text: &mut Text) {
    let name = "spawnpoint_tenant_memory_bytes";
    text.metric(name, "gauge", "Memories and tables of a tenant's live instances, by tenant");
    for account in table.accounts.all() {
        text.sample(name, &[("tenant", account.tenant.as_str())], account.bytes());
    }
}

/// What was counted of each function that is there.
fn functions(routes: &Routes, unrouted: &Rejected, text: &mut Text) {
    let name = "spawnpoint_requests_completed_total";
    text.metric(name, "counter", "Requests that a guest answered well, by tenant and function");
    for route in routes.all() {
        text.sample(name, &labels(route), route.shared.ledger.totals().good);
    }
    let name = "spawnpoint_requests_failed_total";
    text.metric(name, "counter", "Requests whose guest ran and failed, by tenant, function and code");
    for route in routes.all() {
        for (code, count) in route.shared.ledger.totals().by_code() {
            text.sample(name, &with_code(route, code), count);
        }
    }
    let name = "spawnpoint_requests_rejected_total";
    let help = "Requests that reached no guest, by code; by tenant and function too where they reached one";
    text.metric(name, "counter", help);
    for Turned { code, count, .. } in unrouted.by_code() {
        text.sample(name, &[("code", code)], count);
    }
    for route in routes.all() {
        for Turned { code, count, .. } in route.shared.rejected.by_code() {
            text.sample(name, &with_code(route, code), count);
        }
    }
    let name = "spawnpoint_guest_cpu_microseconds_total";
    text.metric(name, "counter", "CPU time of guests, start-up included, by tenant and function");
    for route in routes.all() {
        text.sample(name, &labels(route), route.shared.ledger.totals().cpu_ns / 1_000);
    }
    let name = "spawnpoint_breaker_openings_total";
    text.metric(
        name,
        "counter",
        "How often a version was left alone because it failed too often, by tenant and function",
    );
    for route in routes.all() {
        text.sample(name, &labels(route), route.shared.openings());
    }
}

fn labels(route: &Route) -> [(&str, &str); 2] {
    [("tenant", route.tenant.as_str()), ("function", route.function.as_str())]
}

fn with_code<'a>(route: &'a Route, code: &'a str) -> [(&'a str, &'a str); 3] {
    let [tenant, function] = labels(route);
    [tenant, function, ("code", code)]
}
