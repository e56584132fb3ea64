//! Tenants as resources. Must never say that a tenant is gone before its routes are.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::LOCATION;

use super::json::Json;
use super::names::TenantPath;
use super::paging::Page;
use super::problem::Refusal;
use super::state::{Admin, to_the_end};
use super::wire::{Problem, Tenant, Tenants};
use crate::catalog;

/// List tenants
#[utoipa::path(
    get,
    path = "/v1/tenants",
    operation_id = "list_tenants",
    tag = "tenants",
    params(Page),
    responses(
        (status = 200, description = "A page, in order of name", body = Tenants),
        (status = "default", description = "It was not done", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(State(admin): State<Arc<Admin>>, page: Page) -> Result<Json<Tenants>, Refusal> {
    let catalog = &admin.deployer.catalog;
    let found = catalog.list_tenants(page.after()?.as_ref(), page.limit).await?;
    let last = found.last().map(|tenant| &tenant.name);
    let next = page.next(last, found.len(), async |last| catalog.list_tenants(Some(last), 1).await).await?;
    Ok(Json(Tenants { tenants: found.iter().map(shown).collect(), next }))
}

/// Make a tenant
#[utoipa::path(
    put,
    path = "/v1/tenants/{tenant}",
    operation_id = "put_tenant",
    tag = "tenants",
    params(("tenant" = String, Path, description = "What it is to be called: a DNS label.")),
    responses(
        (status = 201, description = "The tenant was made", body = Tenant, headers(
            ("location" = String, description = "The tenant"),
        )),
        (status = 200, description = "The tenant was there", body = Tenant),
        (status = "default", description = "It was not done", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn put(State(admin): State<Arc<Admin>>, path: TenantPath) -> Result<Response, Refusal> {
    let TenantPath(name) = path;
    let location = format!("/v1/tenants/{name}");
    let put = async move { Ok(admin.deployer.catalog.put_tenant(&name).await?) };
    let (tenant, created) = to_the_end(put).await?;
    let body = Json(shown(&tenant));
    Ok(if created {
        (StatusCode::CREATED, [(LOCATION, location)], body).into_response()
    } else {
        body.into_response()
    })
}

/// Delete a tenant with all its functions
#[utoipa::path(
    delete,
    path = "/v1/tenants/{tenant}",
    operation_id = "delete_tenant",
    tag = "tenants",
    params(("tenant" = String, Path, description = "Its name. `default` stays.")),
    responses(
        (status = 204, description = "It is gone, and nothing of it answers"),
        (status = "default", description = "It was not done", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn delete(State(admin): State<Arc<Admin>>, path: TenantPath) -> Result<StatusCode, Refusal> {
    let TenantPath(name) = path;
    to_the_end(async move { Ok(admin.deployer.delete_tenant(&name).await?) }).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn shown(tenant: &catalog::Tenant) -> Tenant {
    Tenant { tenant: tenant.name.to_string(), created_ms: tenant.created_ms }
}
