//! `etag` and `if-match` (RFC 9110): an activation is moved only by who has seen where it stands.
//! Must never take a tag that was not given out for one that matches.

use http::header::IF_MATCH;
use http::{HeaderMap, HeaderValue};

use super::problem::{Code, Refusal};
use crate::catalog::Function;

/// The revisions an `if-match` names.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum IfMatch {
    /// The header is not there.
    Absent,
    /// `*`: whatever there is.
    Any,
    /// One of these.
    Revisions(Vec<u64>),
}

/// The tag of a function: the revision of its activation.
pub(super) fn etag(function: &Function) -> HeaderValue {
    let tag = format!("\"{}\"", function.activation_revision());
    HeaderValue::from_str(&tag).unwrap_or_else(|_| HeaderValue::from_static("\"0\""))
}

impl IfMatch {
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let mut revisions = None::<Vec<u64>>;
        for value in headers.get_all(IF_MATCH) {
            let invalid = || {
                Refusal::new(
                    Code::InvalidHeader,
                    "`if-match` is not valid: allowed is `*` or an `etag` such as `\"3\"`",
                )
            };
            let text = value.to_str().map_err(|_| invalid())?;
            if text.trim() == "*" {
                return Ok(Self::Any);
            }
            let revisions = revisions.get_or_insert_default();
            for tag in text.split(',') {
                let tag = tag.trim();
                let opaque = tag.strip_prefix("W/").unwrap_or(tag);
                let opaque = opaque.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
                let opaque = opaque.ok_or_else(invalid)?;
                // A weak tag matches nothing, and neither does one that was never given out.
                if let (false, Ok(revision)) = (tag.starts_with("W/"), opaque.parse()) {
                    revisions.push(revision);
                }
            }
        }
        Ok(revisions.map_or(Self::Absent, Self::Revisions))
    }

    /// The revision at which the change must find the function, if the request names any.
    pub(super) fn check(&self, function: &Function) -> Result<Option<u64>, Refusal> {
        let current = function.activation_revision();
        match self {
            Self::Absent | Self::Any => Ok(None),
            Self::Revisions(revisions) if revisions.contains(&current) => Ok(Some(current)),
            Self::Revisions(_) => {
                let detail =
                    format!("the activation is at revision {current}, which `if-match` does not name");
                Err(Refusal::new(Code::PreconditionFailed, detail))
            }
        }
    }
}
