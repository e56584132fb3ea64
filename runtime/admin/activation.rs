//! Moving an activation: rollback, and shares between versions.
//! Must never move one that its caller has not seen, if the caller says what it has seen.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;

use super::functions::{answer, find};
use super::json::Json;
use super::names::FunctionPath;
use super::precondition::IfMatch;
use super::problem::{Code, Refusal};
use super::state::{Admin, to_the_end};
use super::wire::{self, ActivationRequest, Problem};
use crate::catalog::{Activation, CatalogError, Weight};
use crate::deploy::pipeline::DeployError;

/// Say which versions answer
///
/// Rolling back is activating an older version. With `if-match` (412) or `revision` (409), only if the activation is
/// still where the caller has seen it. A function that is paused stays paused. The answer comes when every thread has taken the change.
#[utoipa::path(
    put,
    path = "/v1/tenants/{tenant}/functions/{function}/activation",
    operation_id = "activate",
    tag = "functions",
    params(
        ("tenant" = String, Path, description = "Whose function."),
        ("function" = String, Path, description = "Which function."),
        ("if-match" = Option<String>, Header, description = "The `etag` of the function as it was read."),
    ),
    request_body = ActivationRequest,
    responses(
        (status = 200, description = "The function as it is now", body = wire::Function, headers(
            ("etag" = String, description = "The revision of its activation"),
        )),
        (status = 409, description = "`conflict`: it is at another `revision`", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "`precondition_failed`: `if-match` does not name its revision", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "It was not done", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn put(
    State(admin): State<Arc<Admin>>,
    path: FunctionPath,
    headers: HeaderMap,
    body: Json<ActivationRequest>,
) -> Result<Response, Refusal> {
    let if_match = IfMatch::of(&headers)?;
    let Json(ActivationRequest { version, weights, revision }) = body;
    let weights = match (version, weights) {
        (Some(version), None) => vec![Weight { version, weight: 1 }],
        (None, Some(weights)) => {
            weights.into_iter().map(|wire::Weight { version, weight }| Weight { version, weight }).collect()
        }
        (None, None) | (Some(_), Some(_)) => {
            return Err(Refusal::new(Code::InvalidActivation, "give either `version` or `weights`"));
        }
    };
    // Before anything is loaded to be proven: there may be thousands of weights in a body.
    Activation::check(&weights, |_| true)?;
    let seen = if_match.check(&find(&admin, &path).await?)?;
    if let (Some(seen), Some(revision)) = (seen, revision.filter(|revision| Some(*revision) != seen)) {
        return Err(CatalogError::Conflict { expected: revision, current: seen }.into());
    }
    let conditional = seen.is_some();
    to_the_end(async move {
        let FunctionPath { tenant, function } = path;
        match admin.deployer.activate(&tenant, &function, &weights, seen.or(revision)).await {
            Ok(function) => Ok(answer(&admin, &function)),
            Err(DeployError::Catalog(error @ CatalogError::Conflict { .. })) if conditional => {
                Err(Refusal::new(Code::PreconditionFailed, error.to_string()))
            }
            Err(error) => Err(error.into()),
        }
    })
    .await
}
