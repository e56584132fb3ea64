//! Making a function cold, for benchmarks. Must never answer before every thread has let go.

use std::sync::Arc;

use axum::extract::State;

use super::json::Json;
use super::names::FunctionPath;
use super::problem::Refusal;
use super::state::{Admin, to_the_end};
use super::wire::{self, ColdDrop, ColdRequest, Problem};
use crate::deploy::retire::Cold;

/// Make a function cold
///
/// Drops its ready instances, or its loaded program too, so that the next request spawns or loads.
#[utoipa::path(
    post,
    path = "/v1/tenants/{tenant}/functions/{function}/cold",
    operation_id = "cold",
    tag = "functions",
    params(
        ("tenant" = String, Path, description = "Whose function."),
        ("function" = String, Path, description = "Which function."),
    ),
    request_body = ColdRequest,
    responses(
        (status = 200, description = "Every thread has let go", body = wire::Cold),
        (status = "default", description = "It was not done", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn post(
    State(admin): State<Arc<Admin>>,
    path: FunctionPath,
    body: Json<ColdRequest>,
) -> Result<Json<wire::Cold>, Refusal> {
    let FunctionPath { tenant, function } = path;
    let drop = match body.0.drop {
        ColdDrop::Instances => Cold::Instances,
        ColdDrop::Program => Cold::Program,
    };
    let cold = async move { Ok(admin.deployer.cold(&tenant, &function, drop).await?) };
    let loaded = to_the_end(cold).await?;
    Ok(Json(wire::Cold { loaded }))
}
