//! Functions as resources: listed, read and deleted. They are made by deploying.
//! Must never say that a function is gone before its route is.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::ETAG;

use super::addresses::Addresses;
use super::json::Json;
use super::names::{FunctionPath, TenantPath};
use super::paging::Page;
use super::precondition::etag;
use super::problem::Refusal;
use super::state::{Admin, to_the_end};
use super::wire::{Activation, Function, Functions, Problem, Weight};
use crate::catalog::{self, CatalogError};

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
    let functions = found.iter().map(|function| shown(function, &admin.addresses));
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
    let body = Json(shown(function, &admin.addresses));
    ([(ETAG, etag(function))], body).into_response()
}

fn shown(function: &catalog::Function, addresses: &Addresses) -> Function {
    let (url, urls) = addresses.of(&function.tenant, &function.name);
    Function {
        tenant: function.tenant.to_string(),
        function: function.name.to_string(),
        url,
        urls,
        created_ms: function.created_ms,
        activation: function.activation.as_ref().map(activation),
    }
}

fn activation(activation: &catalog::Activation) -> Activation {
    let weights = activation.weights.iter();
    Activation {
        revision: activation.revision,
        weights: weights.map(|&catalog::Weight { version, weight }| Weight { version, weight }).collect(),
        changed_ms: activation.changed_ms,
    }
}
