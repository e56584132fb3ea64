//! What is answered without a token: whether the server lives, whether it is ready, its metrics, its version.
//! Must never say anything about a tenant but what the metrics say.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;

use super::json::Json;
use super::problem::{Code, Refusal};
use super::state::Admin;
use super::wire::{About, Problem};

/// The engine's version, as in Cargo.lock; it has no constant for it. A test compares.
pub(super) const WASMTIME: &str = "48.0.8";

/// Whether the process lives
#[utoipa::path(
    get,
    path = "/livez",
    operation_id = "livez",
    tag = "server",
    security(()),
    responses((status = 200, description = "It does", body = String))
)]
pub(super) async fn livez() -> &'static str {
    "ok\n"
}

/// Whether the server takes requests
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "readyz",
    tag = "server",
    security(()),
    responses(
        (status = 200, description = "It does", body = String),
        (status = 503, description = "It starts or drains", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn readyz(State(admin): State<Arc<Admin>>) -> Result<&'static str, Refusal> {
    if admin.ready.load(Ordering::SeqCst) {
        Ok("ok\n")
    } else {
        Err(Refusal::new(Code::Draining, "the server starts or drains"))
    }
}

/// Metrics as Prometheus text
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "metrics",
    tag = "server",
    security(()),
    responses((status = 200, description = "All of them", body = String))
)]
pub(super) async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    let text = (admin.metrics)();
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

/// What runs here
#[utoipa::path(
    get,
    path = "/version",
    operation_id = "version",
    tag = "server",
    security(()),
    responses((status = 200, description = "Its name and versions", body = About))
)]
pub(super) async fn version() -> Json<About> {
    Json(About {
        name: env!("CARGO_PKG_NAME").to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        wasmtime: WASMTIME.to_owned(),
    })
}
