//! A deploy as a request: what can be refused before its body is refused then; the rest is done to its end.
//! Must never leave a blob behind that nothing refers to.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, ETAG, LOCATION};
use http::{HeaderMap, HeaderValue, StatusCode};
use utoipa::ToSchema;

use super::json::Json;
use super::multipart::Splitter;
use super::names::FunctionPath;
use super::precondition::etag;
use super::problem::{Code, Refusal, cut};
use super::state::{Admin, UPLOADS, to_the_end};
use super::upload::{Form, Received, Upload};
use super::wire::{Deployed, Problem, Timings};
use crate::deploy::pipeline;
use crate::deploy::shares::Taken;
use crate::model::manifest::Manifest;

/// A function and what is said beside it, as a form.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the form; its parts are read as they come")]
pub(super) struct UploadForm {
    /// The function: a component or a core module, as bytes.
    #[schema(value_type = String, format = Binary, content_media_type = "application/wasm")]
    wasm: Vec<u8>,
    /// Limits, variables and reuse; in either order with the wasm.
    manifest: Option<Manifest>,
}

/// Publish a version and have it answer
///
/// The body is the wasm itself (`curl -T app.wasm`), or a form with the parts `wasm` and `manifest`. The same bytes and
/// settings again give the same version, and activate it. A function that is paused stays paused. The answer comes when every thread has taken the change.
#[utoipa::path(
    put,
    path = "/v1/tenants/{tenant}/functions/{function}",
    operation_id = "deploy",
    tag = "functions",
    params(
        ("tenant" = String, Path, description = "Whose function: a DNS label. The tenant exists already."),
        ("function" = String, Path, description = "What it is called: a DNS label."),
        ("content-digest" = Option<String>, Header, description = "`sha-256=:BASE64:` of the whole body; verified."),
    ),
    request_body(content(("application/wasm"), (UploadForm = "multipart/form-data"))),
    responses(
        (status = 201, description = "A new version answers", body = Deployed, headers(
            ("location" = String, description = "The function"),
            ("etag" = String, description = "The revision of its activation"),
        )),
        (status = 200, description = "The version was there, and answers", body = Deployed),
        (status = 413, description = "`upload_too_large`", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The upload is no function that works here", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "It was not done", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn deploy(
    State(admin): State<Arc<Admin>>,
    path: FunctionPath,
    request: Request,
) -> Result<Response, Refusal> {
    let began = Instant::now();
    let FunctionPath { tenant, function } = path;
    // Said before anybody sends or compiles anything.
    admin.deployer.catalog.check_room(&tenant, &function).await?;
    let place = admin.uploads.try_enter(&tenant).map_err(|taken| {
        let most = match taken {
            Taken::ByTenant(most) => {
                format!("{most} uploads of this tenant are in progress, the most that one may have")
            }
            Taken::ByAll => format!("{UPLOADS} uploads are in progress, the most that this server takes"),
        };
        Refusal::new(Code::Overloaded, most)
    })?;
    let (head, body) = request.into_parts();
    let form = form(&head.headers)?;
    let most = admin.deployer.policy().server.upload_bytes;
    let upload = Upload::new(&head.headers, body, &form, most)?;
    let Received { wasm, manifest } = upload.receive(form, &admin.deployer).await?;
    to_the_end(async move {
        // Whoever leaves now does not make room for another upload before this one is done.
        let _place = place;
        // From here to the commit nobody may take the blob for one that nothing refers to.
        let kept = admin.deployer.keep_blobs().await;
        // One that failed late may stand under its name already.
        let blob = wasm.finish().await.inspect_err(|_| admin.deployer.leave_over())?;
        let receive_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let deployed = admin.deployer.deploy(&tenant, &function, blob, manifest).await;
        drop(kept);
        match deployed {
            Ok((done, unused)) => {
                admin.deployer.sweep(unused).await;
                Ok(answer(&admin, done, receive_ms))
            }
            Err(error) => {
                admin.deployer.sweep([blob.0]).await;
                Err(error.into())
            }
        }
    })
    .await
}

fn answer(admin: &Admin, done: pipeline::Deployed, receive_ms: u64) -> Response {
    let pipeline::Deployed { function, version, created, timings } = done;
    let (url, urls) = admin.addresses.of(&function.tenant, &function.name);
    let tag = etag(&function);
    let location = format!("/v1/tenants/{}/functions/{}", function.tenant, function.name);
    let body = Json(Deployed {
        tenant: function.tenant.to_string(),
        function: function.name.to_string(),
        version: version.number,
        paused: function.paused,
        digest: version.digest.to_string(),
        url,
        urls,
        timings: Timings {
            receive_ms,
            componentize_ms: timings.componentize_ms,
            compile_ms: timings.compile_ms,
            load_ms: timings.load_ms,
        },
    });
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(ETAG, tag);
    if let Ok(location) = HeaderValue::from_str(&location) {
        headers.insert(LOCATION, location);
    }
    response
}

/// How the wasm comes: anything that is not a form is the wasm itself, whatever curl calls it.
fn form(headers: &HeaderMap) -> Result<Form, Refusal> {
    let refuse = |header: &str, value: &HeaderValue, allowed: &str| {
        let shown = cut(&String::from_utf8_lossy(value.as_bytes()).escape_default().to_string());
        let detail = format!("`{header}` is `{shown}`: allowed is {allowed}");
        Err(Refusal::new(Code::UnsupportedMediaType, detail))
    };
    if let Some(encoding) = headers.get(CONTENT_ENCODING).filter(|value| *value != "identity") {
        return refuse("content-encoding", encoding, "`identity`: send the wasm as it is");
    }
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(Form::Raw) };
    let text = value.to_str().unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if essence == "multipart/form-data" {
        return Ok(Form::Multipart(Splitter::new(text)?));
    }
    if essence.starts_with("multipart/") {
        return refuse("content-type", value, "`application/wasm` or `multipart/form-data`");
    }
    Ok(Form::Raw)
}
