//! Every route, and what stands in front of all of them: the token, a panic's end, one log line.
//! Must never decide anything of one resource.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt as _;
use http::Method;
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::{Code, Refusal, cut};
use super::state::{Admin, AdminState};
use super::{
    activation, auth, cold, deploys, failures, functions, health, openapi, pause, tenants, usage, versions,
};

/// The admin API.
pub fn router(state: AdminState) -> Router {
    let admin = Admin::new(state);
    openapi::described(documented().split_for_parts())
        .fallback(nothing_here)
        .method_not_allowed_fallback(no_such_method)
        .layer(from_fn_with_state(admin.clone(), auth::guard))
        .layer(from_fn(watched))
        .with_state(admin)
}

/// Every route that is described.
pub(super) fn documented() -> OpenApiRouter<Arc<Admin>> {
    OpenApiRouter::with_openapi(openapi::Base::openapi())
        .routes(routes!(tenants::list))
        .routes(routes!(tenants::put, tenants::delete))
        .routes(routes!(functions::list))
        .routes(routes!(deploys::deploy, functions::get, functions::delete))
        .routes(routes!(versions::list))
        .routes(routes!(activation::put))
        .routes(routes!(pause::pause))
        .routes(routes!(pause::resume))
        .routes(routes!(cold::post))
        .routes(routes!(failures::list))
        .routes(routes!(failures::get))
        .routes(routes!(usage::get))
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz))
        .routes(routes!(health::metrics))
        .routes(routes!(health::version))
}

async fn nothing_here() -> Refusal {
    Refusal::new(Code::NoRoute, format!("the routes are described at `{}`", openapi::PATH))
}

async fn no_such_method() -> Refusal {
    Refusal::new(Code::MethodNotAllowed, "the header `allow` says which methods this route has")
}

/// Logs one line, and makes an answer of a panic.
pub(super) async fn watched(request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), cut(request.uri().path()));
    let began = Instant::now();
    // Nothing that a handler shares is left half changed: changes are made by tasks of their own.
    let response = AssertUnwindSafe(next.run(request)).catch_unwind().await.unwrap_or_else(|_| {
        tracing::error!(%method, path, "an admin handler panicked");
        Refusal::new(Code::HostError, "the platform failed; its log says why").into_response()
    });
    let (status, ms) = (response.status().as_u16(), began.elapsed().as_millis());
    if matches!(method, Method::GET | Method::HEAD) {
        tracing::debug!(%method, path, status, ms, "admin");
    } else {
        tracing::info!(%method, path, status, ms, "admin");
    }
    response
}
