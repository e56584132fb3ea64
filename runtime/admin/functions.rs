//! Functions as resources: listed, read and deleted. They are made by deploying.
//! Must never say that a function is gone before its route is.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::ETAG;

use super::json::Json;
use super::names::{FunctionPath, TenantPath};
use super::paging::Page;
use super::precondition::etag;
use super::problem::Refusal;
use super::state::{Admin, to_the_end};
use super::wire::{Activation, Breaker, BreakerState, Function, Functions, Problem, Weight};
use crate::catalog::{self, CatalogError};
use crate::deploy::standing::Standing;

/// List a tenant's functions
#[utoipa::path(
    get,
    path = "/v1/tenants/{tenant}/functions",
    operation_id = "list_functions",
    tag = "functions",
    params(("tenant" = String, Path, description = "Whose functions."), Page),
    responses(
        (status = 200, description = "A page, in order of name", body = Functions),
        (status = "default", description = "It was not done", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    path: TenantPath,
    page: Page,
) -> Result<Json<Functions>, Refusal> {
    let (catalog, TenantPath(tenant)) = (&admin.deployer.catalog, path);
    let found = catalog.list_functions(&tenant, page.after()?.as_ref(), page.limit).await?;
    let last = found.last().map(|function| &function.name);
    let peek = async |last: &_| catalog.list_functions(&tenant, Some(last), 1).await;
    let next = page.next(last, found.len(), peek).await?;
    let functions = found.iter().map(|function| shown(&admin, function));
    Ok(Json(Functions { functions: functions.collect(), next }))
}

/// Read a function
#[utoipa::path(
    get,
    path = "/v1/tenants/{tenant}/functions/{function}",
    operation_id = "get_function",
    tag = "functions",
    params(
        ("tenant" = String, Path, description = "Whose function."),
        ("function" = String, Path, description = "Which function."),
    ),
    responses(
        (status = 200, description = "The function", body = Function, headers(
            ("etag" = String, description = "The revision of its activation, for `if-match`"),
        )),
        (status = "default", description = "It was not done", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn get(State(admin): State<Arc<Admin>>, path: FunctionPath) -> Result<Response, Refusal> {
    let function = find(&admin, &path).await?;
    Ok(answer(&admin, &function))
}

/// Delete a function with all its versions
#[utoipa::path(
    delete,
    path = "/v1/tenants/{tenant}/functions/{function}",
    operation_id = "delete_function",
    tag = "functions",
    params(
        ("tenant" = String, Path, description = "Whose function."),
        ("function" = String, Path, description = "Which function."),
    ),
    responses(
        (status = 204, description = "It is gone, and no longer answers"),
        (status = "default", description = "It was not done", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn delete(
    State(admin): State<Arc<Admin>>,
    path: FunctionPath,
) -> Result<StatusCode, Refusal> {
    let FunctionPath { tenant, function } = path;
    to_the_end(async move { Ok(admin.deployer.delete_function(&tenant, &function).await?) }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The function of a path.
pub(super) async fn find(admin: &Admin, path: &FunctionPath) -> Result<catalog::Function, Refusal> {
    let FunctionPath { tenant, function } = path;
    let found = admin.deployer.catalog.get_function(tenant, function).await?;
    found.ok_or_else(|| {
        let (tenant, function) = (tenant.clone(), function.clone());
        CatalogError::NoSuchFunction { tenant, function }.into()
    })
}

/// A function, with its tag.
pub(super) fn answer(admin: &Admin, function: &catalog::Function) -> Response {
    let body = Json(shown(admin, function));
    ([(ETAG, etag(function))], body).into_response()
}

fn shown(admin: &Admin, function: &catalog::Function) -> Function {
    let (url, urls) = admin.addresses.of(&function.tenant, &function.name);
    let standings = admin.deployer.standings(&function.tenant, &function.name);
    let worst = standings.into_iter().map(|(_, standing)| standing).max();
    Function {
        tenant: function.tenant.to_string(),
        function: function.name.to_string(),
        url,
        urls,
        created_ms: function.created_ms,
        activation: function.activation.as_ref().map(activation),
        paused: function.paused,
        breaker: breaker(worst.unwrap_or_default()),
        load_failed: !admin.deployer.broken(&function.tenant, &function.name).is_empty(),
    }
}

/// A breaker, with its end on the clock on the wall.
pub(super) fn breaker(standing: Standing) -> Breaker {
    let (state, for_ms) = match standing {
        Standing::Closed => (BreakerState::Closed, None),
        Standing::HalfOpen => (BreakerState::HalfOpen, None),
        Standing::Probing => (BreakerState::Probing, None),
        Standing::Open { for_ms } => (BreakerState::Open, Some(for_ms)),
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let now = u64::try_from(now).unwrap_or(u64::MAX);
    Breaker { state, until_ms: for_ms.map(|for_ms| now.saturating_add(for_ms)) }
}

fn activation(activation: &catalog::Activation) -> Activation {
    let weights = activation.weights.iter();
    Activation {
        revision: activation.revision,
        weights: weights.map(|&catalog::Weight { version, weight }| Weight { version, weight }).collect(),
        changed_ms: activation.changed_ms,
    }
}
