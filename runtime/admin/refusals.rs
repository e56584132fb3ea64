//! From the errors of the floors below to refusals. Every match is closed: a new error must get its row.
//! Must never pass a source or a log on to the client.

use std::io;

use super::problem::{Code, Refusal};
use crate::catalog::{BadActivation, CatalogError};
use crate::deploy::loader::LoadFailure;
use crate::deploy::pipeline::DeployError;
use crate::engine::compile::CompileError;
use crate::model::limits::LimitError;
use crate::model::manifest::ManifestError;
use crate::model::name::NameError;
use crate::storage::BlobError;

impl From<NameError> for Refusal {
    fn from(error: NameError) -> Self {
        Self::new(Code::InvalidName, error.to_string())
    }
}

impl From<LimitError> for Refusal {
    fn from(error: LimitError) -> Self {
        Self::new(Code::InvalidLimit, error.to_string())
    }
}

impl From<ManifestError> for Refusal {
    fn from(error: ManifestError) -> Self {
        Self::new(Code::InvalidManifest, error.to_string())
    }
}

impl From<BadActivation> for Refusal {
    fn from(error: BadActivation) -> Self {
        let code = match error {
            BadActivation::Count(_) | BadActivation::Weight { .. } | BadActivation::Twice(_) => {
                Code::InvalidActivation
            }
            BadActivation::NoSuchVersion(_) => Code::NoSuchVersion,
        };
        Self::new(code, error.to_string())
    }
}

impl From<CatalogError> for Refusal {
    fn from(error: CatalogError) -> Self {
        let code = match error {
            CatalogError::NoSuchTenant(_) => Code::NoSuchTenant,
            CatalogError::NoSuchFunction { .. } => Code::NoSuchFunction,
            CatalogError::NoSuchVersion { .. } => Code::NoSuchVersion,
            CatalogError::DefaultTenant => Code::DefaultTenant,
            CatalogError::TooManyTenants { .. }
            | CatalogError::TooManyFunctions { .. }
            | CatalogError::NoNumberLeft(_) => Code::QuotaExceeded,
            CatalogError::Conflict { .. } => Code::Conflict,
            CatalogError::BadActivation(bad) => return bad.into(),
            CatalogError::Contended => Code::Overloaded,
            CatalogError::Storage(ref storage) if storage.is_disk_full() => {
                return Self::disk_full(&error);
            }
            CatalogError::Storage(ref storage) if storage.is_locked() => Code::CatalogLocked,
            CatalogError::NewerFormat { .. }
            | CatalogError::Corrupt { .. }
            | CatalogError::LostVersion { .. }
            | CatalogError::Storage(_) => return Self::host(&error),
        };
        Self::new(code, error.to_string())
    }
}

impl From<BlobError> for Refusal {
    fn from(error: BlobError) -> Self {
        match &error {
            BlobError::File(file) if file.is_disk_full() => Self::disk_full(&error),
            BlobError::File(_) | BlobError::Missing(_) | BlobError::Corrupt(_) | BlobError::Interrupted => {
                Self::host(&error)
            }
        }
    }
}

impl From<DeployError> for Refusal {
    fn from(error: DeployError) -> Self {
        match error {
            DeployError::Limit(error) => error.into(),
            DeployError::Manifest(error) => error.into(),
            DeployError::Catalog(error) => error.into(),
            DeployError::Unfit(_) => Self::new(Code::Unfit, error.to_string()),
            DeployError::NotReady(_) => Self::new(Code::NotReady, error.to_string()),
            DeployError::Compile(error) | DeployError::Host(LoadFailure::Compile(error)) => error.into(),
            DeployError::Host(LoadFailure::Blob(error)) => error.into(),
            DeployError::Host(LoadFailure::Write(ref source)) if is_disk_full(source) => {
                Self::disk_full(&error)
            }
            DeployError::Host(_) => Self::host(&error),
        }
    }
}

impl From<CompileError> for Refusal {
    fn from(error: CompileError) -> Self {
        match error {
            CompileError::Refused { code, message, log } => {
                tracing::debug!(log, "an upload was refused");
                Self::new(Code::Refused(code), message)
            }
            CompileError::Limit { ref log, which } => {
                tracing::info!(%which, log, "an upload was too expensive to compile");
                Self::new(Code::CompileLimit, error.to_string())
            }
            CompileError::Host { ref log, ref source, .. } => {
                tracing::error!(log, "the compiler's last words");
                match source {
                    Some(source) if is_disk_full(source) => Self::disk_full(&error),
                    _ => Self::host(&error),
                }
            }
        }
    }
}

fn is_disk_full(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded)
}
