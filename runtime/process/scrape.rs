//! What `/metrics` answers: what was counted as it happened, and what is looked at only when somebody asks.
//! Must never make whoever is counted wait for it.

use std::sync::Arc;

use metrics_exporter_prometheus::PrometheusHandle;

use crate::deploy::table::Table;
use crate::model::breaker::Phase;
use crate::telemetry::text::Text;
use crate::telemetry::times::{self, Times};

/// Everything that metrics are made of.
pub(super) struct Scrape {
    /// What is counted where it happens.
    pub counted: PrometheusHandle,
    /// The live routes.
    pub table: Arc<Table>,
    /// What requests took, by thread.
    pub times: Vec<Arc<Times>>,
}

impl Scrape {
    /// All metrics as text.
    pub(super) fn text(&self) -> String {
        gauge(&self.table);
        let mut text = Text::after(self.counted.render());
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
    for account in table.accounts.all() {
        let tenant = account.tenant.to_string();
        metrics::gauge!("spawnpoint_tenant_memory_bytes", "tenant" => tenant).set(account.bytes() as f64);
    }
    let routes = table.now();
    let lives = routes.all().flat_map(|route| &route.versions);
    let open = lives.filter(|(live, _)| live.fuse.phase() != Phase::Closed).count();
    metrics::gauge!("spawnpoint_breakers_open").set(open as f64);
}
