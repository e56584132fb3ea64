//! What is said when something is not done: one table of codes, each with its status and title, written as RFC 9457.
//! Must never show a path, a token or a source of an error: `detail` is text made for the one who asked.

use std::error::Error;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};

use super::wire::Problem;
use crate::engine::componentize;

/// A request that was not done, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// Which row of the table.
    pub(super) code: Code,
    /// Field, value, what is allowed.
    pub(super) detail: String,
}

/// Every reason there is. Its text is stable: programs decide by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    InvalidName,
    InvalidManifest,
    InvalidLimit,
    InvalidJson,
    InvalidQuery,
    InvalidHeader,
    InvalidActivation,
    InvalidRequestId,
    InvalidMultipart,
    DigestMismatch,
    UploadAborted,
    Unauthorized,
    NoRoute,
    NoSuchTenant,
    NoSuchFunction,
    NoSuchVersion,
    NoSuchRecord,
    MethodNotAllowed,
    UploadTimeout,
    Conflict,
    DefaultTenant,
    QuotaExceeded,
    PreconditionFailed,
    PayloadTooLarge,
    UploadTooLarge,
    UnsupportedMediaType,
    /// The upload is no function.
    Refused(componentize::Code),
    CompileLimit,
    Unfit,
    NotReady,
    HostError,
    Overloaded,
    CatalogLocked,
    Draining,
    DiskFull,
}

/// On every answer that is a refusal.
pub(super) const ERROR_HEADER: HeaderName = HeaderName::from_static("x-spawnpoint-error");
/// How a refusal's body is written.
pub(super) const PROBLEM_JSON: &str = "application/problem+json";

impl Code {
    /// Status, name and title.
    #[rustfmt::skip]
    pub(super) fn row(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::InvalidName => (400, "invalid_name", "A name is not valid"),
            Self::InvalidManifest => (400, "invalid_manifest", "The manifest is not valid"),
            Self::InvalidLimit => (400, "invalid_limit", "A limit is not allowed"),
            Self::InvalidJson => (400, "invalid_json", "The JSON is not what this route takes"),
            Self::InvalidQuery => (400, "invalid_query", "A query parameter is not valid"),
            Self::InvalidHeader => (400, "invalid_header", "A header is not valid"),
            Self::InvalidActivation => (400, "invalid_activation", "The weights make no activation"),
            Self::InvalidRequestId => (400, "invalid_request_id", "This is no request id"),
            Self::InvalidMultipart => (400, "invalid_multipart", "The multipart body is not valid"),
            Self::DigestMismatch => (400, "digest_mismatch", "The body is not what its digest says"),
            Self::UploadAborted => (400, "upload_aborted", "The body broke off"),
            Self::Unauthorized => (401, "unauthorized", "A token is needed"),
            Self::NoRoute => (404, "no_route", "There is nothing here"),
            Self::NoSuchTenant => (404, "no_such_tenant", "There is no such tenant"),
            Self::NoSuchFunction => (404, "no_such_function", "There is no such function"),
            Self::NoSuchVersion => (404, "no_such_version", "There is no such version"),
            Self::NoSuchRecord => (404, "no_such_record", "There is no such record"),
            Self::MethodNotAllowed => (405, "method_not_allowed", "This route has no such method"),
            Self::UploadTimeout => (408, "upload_timeout", "The body came too slowly"),
            Self::Conflict => (409, "conflict", "It was changed meanwhile"),
            Self::DefaultTenant => (409, "default_tenant", "The default tenant stays"),
            Self::QuotaExceeded => (409, "quota_exceeded", "There are as many as there may be"),
            Self::PreconditionFailed => (412, "precondition_failed", "It is not as the request expects"),
            Self::PayloadTooLarge => (413, "payload_too_large", "The body is too large"),
            Self::UploadTooLarge => (413, "upload_too_large", "The upload is too large"),
            Self::UnsupportedMediaType => (415, "unsupported_media_type", "The body is of another type"),
            Self::Refused(code) => (422, code.as_str(), "The upload is no function that works here"),
            Self::CompileLimit => (422, "compile_limit", "The upload is too expensive to compile"),
            Self::Unfit => (422, "unfit", "The component does not fit this platform"),
            Self::NotReady => (422, "not_ready", "The function does not start"),
            Self::HostError => (500, "host_error", "The platform failed"),
            Self::Overloaded => (503, "overloaded", "The server is busy"),
            Self::CatalogLocked => (503, "catalog_locked", "The catalog is locked by another process"),
            Self::Draining => (503, "draining", "The server is ending"),
            Self::DiskFull => (507, "disk_full", "The server's disk is full"),
        }
    }
}

impl Refusal {
    /// A refusal with this detail.
    pub(super) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }

    /// The platform's own failure: its whole chain of sources goes to the log, and none of it to the client.
    pub(super) fn host(error: &(dyn Error + 'static)) -> Self {
        let mut chain = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            chain.push_str(": ");
            chain.push_str(&cause.to_string());
            source = cause.source();
        }
        tracing::error!(error = chain, "an admin request failed");
        Self::new(Code::HostError, "the platform failed; its log says why")
    }

    /// A full disk, which an operator can do something about.
    pub(super) fn disk_full(error: &(dyn Error + 'static)) -> Self {
        drop(Self::host(error));
        Self::new(Code::DiskFull, "the disk that holds the data directory is full")
    }

    /// As RFC 9457 has it.
    pub(super) fn problem(&self) -> Problem {
        let (status, code, title) = self.code.row();
        Problem {
            kind: format!("urn:spawnpoint:error:{code}"),
            title: title.to_owned(),
            status,
            code: code.to_owned(),
            detail: self.detail.clone(),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, code, _) = self.code.row();
        let body = serde_json::to_vec(&self.problem()).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(ERROR_HEADER, HeaderValue::from_static(code));
        match status {
            401 => {
                let challenge = HeaderValue::from_static("Bearer realm=\"spawnpoint\"");
                headers.insert(WWW_AUTHENTICATE, challenge);
            }
            503 => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response
    }
}

/// At most 400 characters of text that holds something from a client.
pub(super) fn cut(text: &str) -> String {
    const MOST: usize = 400;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
