//! Pausing a function and resuming it. Must never answer before every thread has taken the change, nor pause what its
//! caller has not seen, if the caller says what it has seen.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;

use super::functions::{answer, find};
use super::names::FunctionPath;
use super::precondition::IfMatch;
use super::problem::{Code, Refusal};
use super::state::{Admin, to_the_end};
use super::wire::{self, Problem};
use crate::catalog::CatalogError;
use crate::deploy::pipeline::DeployError;

/// Pause a function
///
/// Every request to it is answered `503 paused` until it is resumed, also after a restart; requests in progress end as
/// they will, and no instance of it is kept ready. Deploys and activations are taken, and it stays paused. With
/// `if-match` (412), only if its activation is still where the caller has seen it; pausing moves its revision. One that
/// is paused already is no error. The answer comes when every thread has taken the change.
#[utoipa::path(
    post,
    path = "/v1/tenants/{tenant}/functions/{function}/pause",
    operation_id = "pause",
    tag = "functions",
    params(
        ("tenant" = String, Path, description = "Whose function."),
        ("function" = String, Path, description = "Which function."),
        ("if-match" = Option<String>, Header, description = "The `etag` of the function as it was read."),
    ),
    responses(
        (status = 200, description = "The function as it is now", body = wire::Function, headers(
            ("etag" = String, description = "The revision of its activation"),
        )),
        (status = 412, description = "`precondition_failed`: `if-match` does not name its revision", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "It was not done", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn pause(
    State(admin): State<Arc<Admin>>,
    path: FunctionPath,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    set(admin, path, &headers, true).await
}

/// Resume a function
///
/// The versions of its activation answer again. With `if-match` (412), only if its activation is still where the caller
/// has seen it; resuming moves its revision. One that is not paused is no error.
#[utoipa::path(
    post,
    path = "/v1/tenants/{tenant}/functions/{function}/resume",
    operation_id = "resume",
    tag = "functions",
    params(
        ("tenant" = String, Path, description = "Whose function."),
        ("function" = String, Path, description = "Which function."),
        ("if-match" = Option<String>, Header, description = "The `etag` of the function as it was read."),
    ),
    responses(
        (status = 200, description = "The function as it is now", body = wire::Function, headers(
            ("etag" = String, description = "The revision of its activation"),
        )),
        (status = 412, description = "`precondition_failed`: `if-match` does not name its revision", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "It was not done", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn resume(
    State(admin): State<Arc<Admin>>,
    path: FunctionPath,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    set(admin, path, &headers, false).await
}

async fn set(
    admin: Arc<Admin>,
    path: FunctionPath,
    headers: &HeaderMap,
    paused: bool,
) -> Result<Response, Refusal> {
    let seen = IfMatch::of(headers)?.check(&find(&admin, &path).await?)?;
    to_the_end(async move {
        let FunctionPath { tenant, function } = path;
        match admin.deployer.set_paused(&tenant, &function, paused, seen).await {
            Ok(function) => Ok(answer(&admin, &function)),
            // Only `if-match` says what was expected.
            Err(DeployError::Catalog(error @ CatalogError::Conflict { .. })) => {
                Err(Refusal::new(Code::PreconditionFailed, error.to_string()))
            }
            Err(error) => Err(error.into()),
        }
    })
    .await
}
