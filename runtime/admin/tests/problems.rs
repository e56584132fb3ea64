//! What holds of problems.

use std::collections::BTreeSet;

use axum::response::IntoResponse as _;

use crate::admin::problem::{Code, Refusal, cut};
use crate::catalog::{BadActivation, CatalogError};
use crate::deploy::loader::LoadFailure;
use crate::deploy::pipeline::DeployError;
use crate::engine::compile::{CompileError, CompileLimit};
use crate::engine::componentize;
use crate::model::limits::LimitError;
use crate::model::manifest::ManifestError;
use crate::model::version::VersionNumber;
use crate::storage::{BlobError, StorageError};

const ALL: &[Code] = &[
    Code::InvalidName,
    Code::InvalidManifest,
    Code::InvalidLimit,
    Code::InvalidJson,
    Code::InvalidQuery,
    Code::InvalidHeader,
    Code::InvalidActivation,
    Code::InvalidRequestId,
    Code::InvalidMultipart,
    Code::DigestMismatch,
    Code::UploadAborted,
    Code::Unauthorized,
    Code::NoRoute,
    Code::NoSuchTenant,
    Code::NoSuchFunction,
    Code::NoSuchVersion,
    Code::NoSuchRecord,
    Code::MethodNotAllowed,
    Code::UploadTimeout,
    Code::Conflict,
    Code::DefaultTenant,
    Code::QuotaExceeded,
    Code::PreconditionFailed,
    Code::PayloadTooLarge,
    Code::UploadTooLarge,
    Code::UnsupportedMediaType,
    Code::Refused(componentize::Code::NotWasm),
    Code::Refused(componentize::Code::InvalidWasm),
    Code::Refused(componentize::Code::WrongWorld),
    Code::Refused(componentize::Code::Wasip1Command),
    Code::Refused(componentize::Code::UnsupportedVersion),
    Code::Refused(componentize::Code::UnsupportedFeature),
    Code::Refused(componentize::Code::UnsupportedImport),
    Code::Refused(componentize::Code::CompileFailed),
    Code::CompileLimit,
    Code::Unfit,
    Code::NotReady,
    Code::HostError,
    Code::Overloaded,
    Code::CatalogLocked,
    Code::Draining,
    Code::DiskFull,
];

#[test]
fn every_code_is_an_error_with_a_name_of_its_own() {
    let mut names = BTreeSet::new();
    for &code in ALL {
        let (status, name, title) = code.row();
        assert!((400..600).contains(&status), "{name}");
        assert!(name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_')), "{name}");
        assert!(!title.is_empty());
        assert!(names.insert(name), "{name} twice");
        let response = Refusal::new(code, "d").into_response();
        assert_eq!(response.status().as_u16(), status);
        assert_eq!(response.headers().contains_key("retry-after"), status == 503);
        assert_eq!(response.headers().contains_key("www-authenticate"), status == 401);
    }
}

fn row(error: impl Into<Refusal>) -> (u16, &'static str, String) {
    let refusal = error.into();
    let (status, code, _) = refusal.code.row();
    (status, code, refusal.detail)
}

#[test]
fn an_error_from_below_has_its_row() {
    let tenant = || "acme".parse().unwrap();
    let function = || "hello".parse().unwrap();
    let catalog = |error: CatalogError| {
        let (status, code, _) = row(DeployError::Catalog(error));
        (status, code)
    };
    assert_eq!(catalog(CatalogError::NoSuchTenant(tenant())), (404, "no_such_tenant"));
    let lost = CatalogError::NoSuchFunction { tenant: tenant(), function: function() };
    assert_eq!(catalog(lost), (404, "no_such_function"));
    let lost = CatalogError::NoSuchVersion { function: function(), version: VersionNumber(7) };
    assert_eq!(catalog(lost), (404, "no_such_version"));
    assert_eq!(catalog(CatalogError::DefaultTenant), (409, "default_tenant"));
    assert_eq!(catalog(CatalogError::TooManyTenants { limit: 1 }), (409, "quota_exceeded"));
    assert_eq!(catalog(CatalogError::Conflict { expected: 1, current: 2 }), (409, "conflict"));
    assert_eq!(catalog(CatalogError::Contended), (503, "overloaded"));
    assert_eq!(catalog(BadActivation::Count(9).into()), (400, "invalid_activation"));
    assert_eq!(catalog(BadActivation::NoSuchVersion(VersionNumber(9)).into()), (404, "no_such_version"));
    assert_eq!(catalog(StorageError::Closed.into()), (500, "host_error"));

    let limit = LimitError { field: "cpu_ms", value: 9, lowest: 1, highest: 5 };
    let text = "`limits.cpu_ms` is 9: allowed is 1 to 5".to_owned();
    assert_eq!(row(DeployError::Limit(limit)), (400, "invalid_limit", text));
    assert_eq!(row(DeployError::Manifest(ManifestError::Reuse(0))).1, "invalid_manifest");
    let refused = CompileError::Refused {
        code: componentize::Code::Wasip1Command,
        message: "found a command".to_owned(),
        log: "secret".to_owned(),
    };
    let text = "found a command".to_owned();
    assert_eq!(row(DeployError::Compile(refused)), (422, "wasip1_command", text));
    let limit = CompileError::Limit { which: CompileLimit::Memory, log: "secret".to_owned() };
    let (status, code, detail) = row(DeployError::Compile(limit));
    assert_eq!((status, code), (422, "compile_limit"));
    assert!(!detail.contains("secret"));
    assert_eq!(row(DeployError::Unfit("no import `x`".to_owned())).2, "no import `x`");
    assert_eq!(row(DeployError::NotReady("guest_trap".to_owned())).1, "not_ready");
}

#[test]
fn the_platforms_own_failure_shows_nothing_of_its_cause() {
    let full = || std::io::Error::from(std::io::ErrorKind::StorageFull);
    let (status, code, _) = row(DeployError::Host(LoadFailure::Write(full())));
    assert_eq!((status, code), (507, "disk_full"));
    let host = CompileError::Host {
        what: "`/secret`",
        log: "secret".to_owned(),
        source: Some(std::io::Error::other("secret")),
    };
    for error in [
        DeployError::Host(LoadFailure::Compile(host)),
        DeployError::Host(LoadFailure::Thread),
        DeployError::Host(LoadFailure::Write(std::io::Error::other("secret"))),
        DeployError::Host(LoadFailure::Blob(BlobError::Interrupted)),
    ] {
        let (status, code, detail) = row(error);
        assert_eq!(
            (status, code, detail.as_str()),
            (500, "host_error", "the platform failed; its log says why")
        );
    }
}

#[test]
fn text_from_a_client_is_cut_between_characters() {
    assert_eq!(cut("é"), "é");
    assert_eq!(cut(&"é".repeat(1000)).chars().count(), 401);
}
