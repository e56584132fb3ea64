//! The JSON of the admin API, both ways: what the server writes and what the command line reads.
//! Must never show a path, a token or a source of an error.

mod records;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::limits::Limits;
use crate::model::manifest::Manifest;
use crate::model::version::{Handler, Tier, VersionNumber};

pub use records::{Failures, FunctionUsage, Invocation, Phases, Rejections, Usage, UsageSum};

/// RFC 9457. `code` is stable; `detail` is for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// `urn:spawnpoint:error:CODE`.
    #[serde(rename = "type")]
    pub kind: String,
    /// A few words, the same for each code.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What went wrong, for programs.
    pub code: String,
    /// What went wrong, for people: field, value, what is allowed.
    pub detail: String,
}

/// One tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Tenant {
    /// Its name.
    pub tenant: String,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
}

/// A page of tenants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Tenants {
    /// In order of name.
    pub tenants: Vec<Tenant>,
    /// Give this as `after` for the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// One function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Function {
    /// Whose it is.
    pub tenant: String,
    /// Its name.
    pub function: String,
    /// Where it answers: the path form, or the host form if a base domain is set.
    pub url: String,
    /// Both forms.
    pub urls: Urls,
    /// When its first version was published, in milliseconds since 1970.
    pub created_ms: u64,
    /// Which versions answer.
    pub activation: Option<Activation>,
    /// Whether it answers every request `503 paused` until it is resumed.
    #[serde(default)]
    pub paused: bool,
    /// Whether they are left alone because they fail; of several the worst.
    #[serde(default)]
    pub breaker: Breaker,
    /// Whether the last load of one that answers failed: see `load_failed` of the version. Left out if not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub load_failed: bool,
}

/// What a breaker does with the next request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Breaker {
    /// Whether it lets it through.
    pub state: BreakerState,
    /// When it lets one through as a probe, in milliseconds since 1970; absent unless it is open.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub until_ms: Option<u64>,
}

/// Whether a breaker lets requests through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// All.
    #[default]
    Closed,
    /// It was open for long enough: the next one, as a probe.
    HalfOpen,
    /// One is on its way, and the others wait for how it ends.
    Probing,
    /// None: they are answered `503 breaker_open`.
    Open,
}

/// Where a function answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Urls {
    /// `http://HOST:PORT/TENANT/FUNCTION/`.
    pub path: String,
    /// `http://FUNCTION.TENANT.BASE:PORT/`.
    pub host: String,
}

/// A page of functions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Functions {
    /// In order of name.
    pub functions: Vec<Function>,
    /// Give this as `after` for the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Which versions answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Activation {
    /// One more with each change, a pause and its end included.
    pub revision: u64,
    /// Each version's share.
    pub weights: Vec<Weight>,
    /// When it was last changed, in milliseconds since 1970.
    pub changed_ms: u64,
}

/// One version's share of the requests: its weight over the sum of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Weight {
    /// Which version.
    pub version: VersionNumber,
    /// 1 to 1,000,000.
    pub weight: u32,
}

/// The body of `PUT .../activation`: `{"version": N}` is short for one weight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ActivationRequest {
    /// All requests to this version.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub version: Option<VersionNumber>,
    /// Or shares of up to eight.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub weights: Option<Vec<Weight>>,
    /// Refuse if the activation is no longer at this revision.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub revision: Option<u64>,
}

/// One version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Version {
    /// Its number.
    pub version: VersionNumber,
    /// `sha256:HEX` of the uploaded bytes.
    pub digest: String,
    /// Their size.
    pub size_bytes: u64,
    /// Which export answers.
    pub handler: Handler,
    /// What was said beside the wasm.
    pub manifest: Manifest,
    /// The limits in force.
    pub limits: Limits,
    /// Whether it answers now.
    pub active: bool,
    /// Whether it is left alone because it fails; absent unless it answers.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub breaker: Option<Breaker>,
    /// Whether its last load failed: calls that need it are answered `500 host_error`. Each of them tries again, and deploying the
    /// same file again brings back what was lost. Left out if not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub load_failed: bool,
    /// How thoroughly it is compiled: what is deployed answers as `fast`, and is `speed` soon. Absent where no artifact is
    /// kept, which its next call makes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tier: Option<Tier>,
    /// When it was published, in milliseconds since 1970.
    pub created_ms: u64,
}

/// A page of versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Versions {
    /// Oldest first.
    pub versions: Vec<Version>,
    /// Give this as `after` for the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What a deploy did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Deployed {
    /// Whose function.
    pub tenant: String,
    /// Which function.
    pub function: String,
    /// The version that answers now.
    pub version: VersionNumber,
    /// Whether it answers only once the function is resumed; left out if it answers now.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// `sha256:HEX` of the uploaded bytes.
    pub digest: String,
    /// Where it answers.
    pub url: String,
    /// Both forms.
    pub urls: Urls,
    /// How long it took.
    pub timings: Timings,
}

/// The phases of a deploy, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Timings {
    /// To receive and keep the upload.
    pub receive_ms: u64,
    /// To sniff, adapt and validate it.
    pub componentize_ms: u64,
    /// To compile it.
    pub compile_ms: u64,
    /// To load it and prove it ready.
    pub load_ms: u64,
}

/// The body of `POST .../cold`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ColdRequest {
    /// What is dropped.
    pub drop: ColdDrop,
}

/// What is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ColdDrop {
    /// Ready instances: the next request spawns one.
    Instances,
    /// The loaded program too: the next request loads it from disk.
    Program,
}

/// What was made cold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Cold {
    /// Active versions that had a program loaded.
    pub loaded: u32,
}

/// What runs here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct About {
    /// `spawnpoint`.
    pub name: String,
    /// Of this program.
    pub version: String,
    /// Of the engine.
    pub wasmtime: String,
}
