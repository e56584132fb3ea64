//! Names, parsed once: a value of these types is valid, so nothing downstream checks again.
//! Must never normalise: what a user typed is either the name or refused.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

/// Who owns functions: one DNS label, because it becomes part of a host name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantName(Arc<str>);

/// What is called: one DNS label, unique within its tenant.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FunctionName(Arc<str>);

/// Why a name was refused. The text says what is allowed, so it can be shown as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{kind} name `{value}` is not a DNS label: 1 to 63 of `a-z`, `0-9` and `-`, not starting or ending with `-`"
)]
pub struct NameError {
    /// `tenant` or `function`.
    pub kind: &'static str,
    /// What was given, cut to 80 characters and escaped.
    pub value: String,
}

/// The longest DNS label (RFC 1035, section 2.3.4).
const LABEL_MAX: usize = 63;

/// Whether `text` is one lower-case DNS label.
#[must_use]
pub fn is_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    let edge = |byte: Option<&u8>| byte.is_some_and(|b| *b != b'-');
    bytes.len() <= LABEL_MAX
        && edge(bytes.first())
        && edge(bytes.last())
        && bytes.iter().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

fn parse(kind: &'static str, text: &str) -> Result<Arc<str>, NameError> {
    if is_label(text) {
        Ok(Arc::from(text))
    } else {
        let value = text.chars().take(80).flat_map(char::escape_default);
        Err(NameError { kind, value: value.collect() })
    }
}

macro_rules! label {
    ($name:ident, $kind:literal) => {
        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                parse($kind, text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

label!(TenantName, "tenant");
label!(FunctionName, "function");

impl TenantName {
    /// The tenant that needs no creating.
    ///
    /// # Panics
    /// Never: the literal is a label.
    #[must_use]
    pub fn default_tenant() -> Self {
        Self(Arc::from("default"))
    }

    /// Whether this is the tenant that needs no creating and cannot be deleted.
    #[must_use]
    pub fn is_default(&self) -> bool {
        &*self.0 == "default"
    }
}
