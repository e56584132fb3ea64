//! Lists in pages: `?after=CURSOR&limit=N`. A cursor is opaque: what it holds may change.
//! Must never give a cursor on the last page.

use std::str::FromStr;

use axum::extract::{FromRequestParts, Query};
use http::request::Parts;
use utoipa::IntoParams;

use super::problem::{Code, Refusal, cut};
use crate::catalog::CatalogError;
use crate::storage::SCAN_ENTRIES;

/// Which page.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Page {
    /// `next` of the page before.
    pub(super) after: Option<String>,
    /// Entries on this page.
    #[param(required = false, minimum = 1, maximum = 1000, default = 100)]
    pub(super) limit: usize,
}

/// Entries on a page when nobody says.
const DEFAULT: usize = 100;

impl<S: Send + Sync> FromRequestParts<S> for Page {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        Self::read(pairs(parts)?, "`after` and `limit`")
    }
}

/// The query as it was given.
pub(super) fn pairs(parts: &Parts) -> Result<Vec<(String, String)>, Refusal> {
    let query = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri);
    let Query(query) = query.map_err(|error| Refusal::new(Code::InvalidQuery, cut(&error.body_text())))?;
    Ok(query)
}

impl Page {
    /// Reads the parameters of a page. `allowed` is what else is said to be, beside what the caller has taken out.
    pub(super) fn read(query: Vec<(String, String)>, allowed: &str) -> Result<Self, Refusal> {
        let refuse = |detail: String| Refusal::new(Code::InvalidQuery, cut(&detail));
        let mut page = Self { after: None, limit: DEFAULT };
        for (name, value) in query {
            match name.as_str() {
                "after" => page.after = Some(value),
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| (1..=SCAN_ENTRIES).contains(limit));
                    page.limit = limit.ok_or_else(|| {
                        let value = value.escape_default();
                        refuse(format!("`limit` is `{value}`: allowed is 1 to {SCAN_ENTRIES}"))
                    })?;
                }
                other => {
                    let other = other.escape_default();
                    return Err(refuse(format!("`{other}` is no parameter: allowed are {allowed}")));
                }
            }
        }
        Ok(page)
    }

    /// The key after which this page begins.
    pub(super) fn after<T: FromStr>(&self) -> Result<Option<T>, Refusal> {
        let Some(cursor) = &self.after else { return Ok(None) };
        let text = hex::decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let key = text.and_then(|text| text.parse().ok());
        key.map(Some).ok_or_else(|| {
            Refusal::new(Code::InvalidQuery, "`after` is not the `next` of a page of this list")
        })
    }

    /// The cursor after `last`, if there is anything more; `peek` looks for one entry after it.
    pub(super) async fn next<T: ToString, E>(
        &self,
        last: Option<&T>,
        found: usize,
        peek: impl AsyncFnOnce(&T) -> Result<Vec<E>, CatalogError>,
    ) -> Result<Option<String>, Refusal> {
        match last {
            Some(last) if found >= self.limit && !peek(last).await?.is_empty() => {
                Ok(Some(hex::encode(last.to_string())))
            }
            _ => Ok(None),
        }
    }
}
