//! What a tenant's calls used, by function and in sum. Must never leave a function out of the sum.

use std::sync::Arc;

use axum::extract::State;

use super::instant::rfc3339;
use super::json::Json;
use super::names::TenantPath;
use super::paging::Page;
use super::problem::Refusal;
use super::state::Admin;
use super::wire::{FunctionUsage, Problem, Usage, UsageSum};
use crate::catalog::CatalogError;
use crate::model::name::FunctionName;
use crate::records::Totals;

/// Read what a tenant's calls used
///
/// Counted since this server started, which `since` says. Functions that nobody has called since then are not listed.
#[utoipa::path(
    get,
    path = "/v1/tenants/{tenant}/usage",
    operation_id = "get_usage",
    tag = "records",
    params(("tenant" = String, Path, description = "Whose."), Page),
    responses(
        (status = 200, description = "The sum, and a page of functions in order of name", body = Usage),
        (status = "default", description = "It was not done", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn get(
    State(admin): State<Arc<Admin>>,
    path: TenantPath,
    page: Page,
) -> Result<Json<Usage>, Refusal> {
    let TenantPath(tenant) = path;
    if admin.deployer.catalog.get_tenant(&tenant).await?.is_none() {
        return Err(CatalogError::NoSuchTenant(tenant).into());
    }
    let table = admin.deployer.table();
    let after: Option<FunctionName> = page.after()?;
    let routes = table.now().clone();
    let mut sum = table.records.retired(&tenant);
    let mut used: Vec<(&FunctionName, Totals)> = Vec::new();
    for route in routes.of(tenant.as_str()) {
        let totals = route.shared.ledger.totals();
        sum += totals;
        if totals.invocations() > 0 && after.as_ref().is_none_or(|after| *after < route.function) {
            used.push((&route.function, totals));
        }
    }
    used.sort_unstable_by_key(|(function, _)| *function);
    let more = used.len() > page.limit;
    used.truncate(page.limit);
    let next = used.last().filter(|_| more).map(|(function, _)| hex::encode(function.as_str()));
    Ok(Json(Usage {
        tenant: tenant.to_string(),
        since: rfc3339(table.records.since_ms()),
        sum: shown(&sum),
        functions: used.into_iter().map(|(function, totals)| of(function, &totals)).collect(),
        next,
    }))
}

fn of(function: &FunctionName, totals: &Totals) -> FunctionUsage {
    let UsageSum { invocations, failures, cpu_ms, wall_ms } = shown(totals);
    FunctionUsage { function: function.to_string(), invocations, failures, cpu_ms, wall_ms }
}

fn shown(totals: &Totals) -> UsageSum {
    UsageSum {
        invocations: totals.invocations(),
        failures: totals.by_code().map(|(code, count)| (code.to_owned(), count)).collect(),
        cpu_ms: totals.cpu_ns / 1_000_000,
        wall_ms: totals.wall_ns / 1_000_000,
    }
}
