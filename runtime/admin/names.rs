//! The names in a path, parsed before anything else of the request is looked at.
//! Must never let a handler see a name that is not valid.

use std::collections::HashMap;

use axum::extract::{FromRequestParts, Path};
use http::request::Parts;

use super::problem::{Code, Refusal, cut};
use crate::model::name::{FunctionName, TenantName};

/// `/v1/tenants/{tenant}`.
pub(super) struct TenantPath(pub(super) TenantName);

/// `/v1/tenants/{tenant}/functions/{function}`.
pub(super) struct FunctionPath {
    pub(super) tenant: TenantName,
    pub(super) function: FunctionName,
}

impl<S: Send + Sync> FromRequestParts<S> for TenantPath {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let names = raw(parts, state).await?;
        Ok(Self(named(&names, "tenant").parse()?))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for FunctionPath {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let names = raw(parts, state).await?;
        let (tenant, function) = (named(&names, "tenant"), named(&names, "function"));
        Ok(Self { tenant: tenant.parse()?, function: function.parse()? })
    }
}

async fn raw<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<HashMap<String, String>, Refusal> {
    let path = Path::from_request_parts(parts, state).await;
    // Only an escape that is no UTF-8 gets here.
    let Path(names) = path.map_err(|error| Refusal::new(Code::InvalidName, cut(&error.body_text())))?;
    Ok(names)
}

fn named<'a>(names: &'a HashMap<String, String>, name: &str) -> &'a str {
    names.get(name).map_or("", String::as_str)
}
