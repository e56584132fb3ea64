//! The API's own description, made from the handlers: what is not routed cannot be described, nor the other way.
//! Must never need a token: it is how a client learns that it needs one.

use std::sync::Arc;

use axum::Router;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::state::Admin;

/// Where it is.
pub(super) const PATH: &str = "/v1/openapi.json";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Spawnpoint admin API",
        version = "1",
        description = "Deploy WebAssembly functions and say which versions answer. Every refusal is `application/problem+json` \
            (RFC 9457) with a stable `code`, which is also in the header `x-spawnpoint-error`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    modifiers(&Bearer),
    security(("token" = [])),
    tags(
        (name = "tenants", description = "Who owns functions"),
        (name = "functions", description = "What is deployed, and which version answers"),
        (name = "records", description = "What calls left behind: failures, a sample of good ones, and what was used"),
        (name = "server", description = "Whether it lives, and what it is"),
    ),
)]
pub(super) struct Base;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("The token in the file `admin-token` of the data directory."));
        let components = api.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(scheme.build()));
    }
}

/// Adds the description to what it describes.
pub(super) fn described((router, api): (Router<Arc<Admin>>, utoipa::openapi::OpenApi)) -> Router<Arc<Admin>> {
    let text = Bytes::from(text(&api));
    let answer = move || async move { answer(text.clone()) };
    router.route(PATH, axum::routing::get(answer))
}

/// As it is answered, and as it is checked in.
pub(super) fn text(api: &utoipa::openapi::OpenApi) -> String {
    let mut text = serde_json::to_string_pretty(api).unwrap_or_default();
    text.push('\n');
    text
}

fn answer(text: Bytes) -> Response {
    ([(CONTENT_TYPE, "application/json")], text).into_response()
}
