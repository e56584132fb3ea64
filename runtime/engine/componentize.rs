//! What was uploaded -> one component, its handler and the engine it needs; or a refusal that names what was found.
//! Pure bytes to bytes: must never compile, link or read anything, and runs only where hostile bytes may (the child).

mod core;
pub(super) mod sniff;
#[cfg(test)]
pub(in crate::engine) mod tests;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use wasmparser::{ComponentExternalKind, Encoding, Parser, Payload, Validator, WasmFeatures};

use crate::engine::profile;
use crate::engine::reset::RESERVED;
use crate::model::version::{Handler, Profile};
use sniff::{bounded, listed};

/// A component that this platform can serve.
#[derive(Debug)]
pub struct Componentized<'a> {
    /// The component: the bytes given, or what was made of a core module.
    pub component: Cow<'a, [u8]>,
    /// Which export answers requests.
    pub handler: Handler,
    /// The engine it needs.
    pub profile: Profile,
    /// What the bytes were.
    pub source: SourceKind,
}

/// What an upload was before it was a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SourceKind {
    /// A component already.
    Component,
    /// A core module with its component type inside, adapted from preview 1.
    CoreModule,
}

/// A refusal's stable name for machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// Another kind of file.
    NotWasm,
    /// WebAssembly that is cut short or breaks the standard.
    InvalidWasm,
    /// WebAssembly that handles no HTTP requests.
    WrongWorld,
    /// A command for preview 1.
    Wasip1Command,
    /// The right interface in a draft or version that is not served.
    UnsupportedVersion,
    /// Valid with a proposal that is switched off here.
    UnsupportedFeature,
    /// A core module that imports what no component can give it.
    UnsupportedImport,
    /// Accepted, and then the compiler could not.
    CompileFailed,
}

/// Why an upload was refused. The texts hold nothing unbounded or unescaped from the upload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Another kind of file.
    #[error("found {found}; what works is {works}")]
    NotWasm {
        /// What the bytes look like.
        found: Cow<'static, str>,
        /// What to do with such a file.
        works: &'static str,
    },
    /// WebAssembly that is cut short or breaks the standard.
    #[error("found WebAssembly that is not valid: {why}; what works is {COMPONENT}")]
    InvalidWasm {
        /// The validator's message.
        why: String,
    },
    /// WebAssembly that handles no HTTP requests.
    #[error("found {found}; what works is {works}")]
    WrongWorld {
        /// What it exports instead.
        found: String,
        /// What to do with such a one.
        works: &'static str,
    },
    /// A command for preview 1.
    #[error(
        "found a wasip1 command (a core module that exports `_start` and imports \
         `wasi_snapshot_preview1`), which runs once and handles no requests; what works is the same program with a \
         request handler, built for wasm32-wasip2"
    )]
    Wasip1Command,
    /// The right interface in a draft or version that is not served.
    #[error("found the export `{label}`; what works is {HANDLERS}, without a draft suffix")]
    UnsupportedVersion {
        /// The export's name.
        label: String,
    },
    /// Valid with a proposal that is switched off here.
    #[error(
        "found WebAssembly that needs a proposal which is off here: {why}; what works is WebAssembly 2.0 with tail \
         calls, extended constants and the component model"
    )]
    UnsupportedFeature {
        /// The validator's message.
        why: String,
    },
    /// A core module that imports what no component can give it.
    #[error("found {found}; what works is {works}")]
    UnsupportedImport {
        /// What it imports.
        found: String,
        /// How to build it instead.
        works: &'static str,
    },
}

impl Refused {
    /// The stable name of this refusal.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::NotWasm { .. } => Code::NotWasm,
            Self::InvalidWasm { .. } => Code::InvalidWasm,
            Self::WrongWorld { .. } => Code::WrongWorld,
            Self::Wasip1Command => Code::Wasip1Command,
            Self::UnsupportedVersion { .. } => Code::UnsupportedVersion,
            Self::UnsupportedFeature { .. } => Code::UnsupportedFeature,
            Self::UnsupportedImport { .. } => Code::UnsupportedImport,
        }
    }
}

impl Code {
    /// The name as it is written in answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotWasm => "not_wasm",
            Self::InvalidWasm => "invalid_wasm",
            Self::WrongWorld => "wrong_world",
            Self::Wasip1Command => "wasip1_command",
            Self::UnsupportedVersion => "unsupported_version",
            Self::UnsupportedFeature => "unsupported_feature",
            Self::UnsupportedImport => "unsupported_import",
            Self::CompileFailed => "compile_failed",
        }
    }
}

/// What every refusal ends on.
const COMPONENT: &str = "a WebAssembly component that exports `wasi:http/incoming-handler@0.2` or \
                         `wasi:http/handler@0.3` (for Rust: --target wasm32-wasip2)";
const HANDLERS: &str = "`wasi:http/incoming-handler@0.2.x` or `wasi:http/handler@0.3.x`";

/// Turns an upload into a component, or says why it cannot be one.
///
/// # Errors
/// Which kind of file it is instead, or what is wrong with it.
pub fn componentize(bytes: &[u8]) -> Result<Componentized<'_>, Refused> {
    match sniff::encoding(bytes)? {
        Encoding::Component => component(Cow::Borrowed(bytes), SourceKind::Component),
        Encoding::Module => {
            let adapted = core::adapt(bytes)?;
            component(Cow::Owned(adapted), SourceKind::CoreModule)
        }
    }
}

/// The component that an upload was compiled as, without asking whether it can be served.
///
/// # Errors
/// As [`componentize`].
pub(in crate::engine) fn component_of(bytes: &[u8]) -> Result<Cow<'_, [u8]>, Refused> {
    match sniff::encoding(bytes)? {
        Encoding::Component => Ok(Cow::Borrowed(bytes)),
        Encoding::Module => core::adapt(bytes).map(Cow::Owned),
    }
}

fn component(bytes: Cow<'_, [u8]>, source: SourceKind) -> Result<Componentized<'_>, Refused> {
    let handler = handler(&component_exports(&bytes)?)?;
    let profile = profile_of(&bytes, handler)?;
    Ok(Componentized { component: bytes, handler, profile, source })
}

/// The exports of the outermost component, with their kinds; those of the components inside are not looked at.
fn component_exports(bytes: &[u8]) -> Result<Vec<(&str, ComponentExternalKind)>, Refused> {
    let mut exports = Vec::new();
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(|e| invalid(&e))? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    reserved(import.map_err(|e| invalid(&e))?.name.name)?;
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    let export = export.map_err(|e| invalid(&e))?;
                    reserved(export.name.name)?;
                    exports.push((export.name.name, export.kind));
                }
            }
            _ => {}
        }
    }
    Ok(exports)
}

/// What is put into components later has names of its own.
fn reserved(name: &str) -> Result<(), Refused> {
    if !name.starts_with(RESERVED) {
        return Ok(());
    }
    let found =
        format!("a component with the name `{}`, which is the platform's", bounded(name, sniff::NAME));
    Err(Refused::UnsupportedImport { found, works: "another name" })
}

/// Which of the exports answers requests. Of two, the 0.3 one, as `wasmtime serve` does: such a component needs the
/// async engine anyway, and its author offers 0.2 to hosts that know nothing newer.
fn handler(exports: &[(&str, ComponentExternalKind)]) -> Result<Handler, Refused> {
    let instances =
        || exports.iter().filter(|(_, kind)| *kind == ComponentExternalKind::Instance).map(|(name, _)| *name);
    if instances().any(|name| is_release(name, "wasi:http/handler@0.3.")) {
        return Ok(Handler::Http03);
    }
    if instances().any(|name| is_release(name, "wasi:http/incoming-handler@0.2.")) {
        return Ok(Handler::Http02);
    }
    // wasmtime links a draft only to the very same draft, and it has none.
    let stem = |name: &str| name.split('@').next().unwrap_or_default().to_owned();
    if let Some(draft) = instances()
        .find(|name| matches!(stem(name).as_str(), "wasi:http/handler" | "wasi:http/incoming-handler"))
    {
        let label = bounded(draft, sniff::NAME);
        return Err(Refused::UnsupportedVersion { label });
    }
    Err(wrong_component(exports))
}

fn wrong_component(exports: &[(&str, ComponentExternalKind)]) -> Refused {
    let names = exports.iter().map(|(name, _)| *name);
    let command = names.clone().any(|name| name.starts_with("wasi:cli/run@"));
    let found = if exports.is_empty() {
        "a component that exports nothing".to_owned()
    } else {
        format!("a component that exports {}", listed(names))
    };
    let works = if command {
        "the same program as a library with a request handler (a `cdylib` in Rust): it was built as a command, which \
         runs once"
    } else {
        COMPONENT
    };
    Refused::WrongWorld { found, works }
}

/// Whether `name` is `prefix` and one more number: a release, which links to any other of the same prefix.
fn is_release(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix)
        .is_some_and(|patch| !patch.is_empty() && patch.bytes().all(|b| b.is_ascii_digit()))
}

fn profile_of(bytes: &[u8], handler: Handler) -> Result<Profile, Refused> {
    let valid = |features| Validator::new_with_features(features).validate_all(bytes);
    if handler == Handler::Http02 && valid(profile::features(Profile::Lean)).is_ok() {
        return Ok(Profile::Lean);
    }
    let Err(error) = valid(profile::features(Profile::Async)) else {
        return Ok(Profile::Async);
    };
    if valid(WasmFeatures::all()).is_ok() {
        let why = bounded(&error.to_string(), sniff::TEXT);
        return Err(Refused::UnsupportedFeature { why });
    }
    Err(invalid(&error))
}

fn invalid(error: &wasmparser::BinaryReaderError) -> Refused {
    let cut = error.message().starts_with("unexpected end");
    let why = bounded(&error.to_string(), sniff::TEXT);
    Refused::InvalidWasm { why: if cut { format!("it ends too early: {why}") } else { why } }
}
