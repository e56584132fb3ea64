//! The stored form of a record, and its key: JSON with a format version around it, so that an operator can read it
//! and a newer form is told from a broken one. Must never decide anything about the content.
//!
//! Within one format a field may be added if it has a default; anything else, a new manifest key included (an older
//! program refuses unknown ones), raises [`FORMAT`].

use std::time::{SystemTime, UNIX_EPOCH};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::CatalogError;
use super::id::{FunctionId, TenantId};
use crate::model::name::{FunctionName, TenantName};
use crate::model::version::VersionNumber;

/// The newest form this program reads, and the one it writes.
pub(super) const FORMAT: u32 = 1;

pub(super) const TENANTS: &str = "tenant/";
pub(super) const FUNCTIONS: &str = "function/";
pub(super) const VERSIONS: &str = "version/";
/// Tenants that are gone and whose functions are still to be removed.
pub(super) const DELETIONS: &str = "deletion/";

#[derive(Serialize)]
struct Written<'a, T> {
    format: u32,
    record: &'a T,
}

#[derive(Deserialize)]
struct Read<T> {
    format: u32,
    record: T,
}

#[derive(Deserialize)]
struct Header {
    format: u32,
}

pub(super) fn tenant_key(name: &TenantName) -> String {
    format!("{TENANTS}{name}")
}

/// Under the tenant's id, not its name: a tenant made anew under the same name starts empty.
pub(super) fn functions_prefix(tenant: TenantId) -> String {
    format!("{FUNCTIONS}{tenant}/")
}

pub(super) fn function_key(tenant: TenantId, name: &FunctionName) -> String {
    format!("{FUNCTIONS}{tenant}/{name}")
}

pub(super) fn versions_prefix(function: FunctionId) -> String {
    format!("{VERSIONS}{function}/")
}

/// Padded to the ten digits of the largest number, so that the order of keys is the order of numbers.
pub(super) fn version_key(function: FunctionId, number: VersionNumber) -> String {
    format!("{VERSIONS}{function}/{:010}", number.0)
}

pub(super) fn deletion_key(tenant: TenantId) -> String {
    format!("{DELETIONS}{tenant}")
}

pub(super) fn encode<T: Serialize>(key: &str, record: &T) -> Result<Vec<u8>, CatalogError> {
    let format = FORMAT;
    serde_json::to_vec(&Written { format, record })
        .map_err(|source| CatalogError::Corrupt { key: key.to_owned(), source })
}

pub(super) fn decode<T: DeserializeOwned>(key: &str, bytes: &[u8]) -> Result<T, CatalogError> {
    let read = serde_json::from_slice::<Read<T>>(bytes);
    // Only a record that is out of the ordinary is looked at twice.
    let format = match &read {
        Ok(read) => Some(read.format),
        Err(_) => serde_json::from_slice::<Header>(bytes).ok().map(|header| header.format),
    };
    match (read, format) {
        (_, Some(format)) if format > FORMAT => {
            Err(CatalogError::NewerFormat { key: key.to_owned(), format })
        }
        (Ok(read), _) => Ok(read.record),
        (Err(source), _) => Err(CatalogError::Corrupt { key: key.to_owned(), source }),
    }
}

pub(super) fn now_ms() -> u64 {
    // A clock before 1970 is written as 1970.
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
