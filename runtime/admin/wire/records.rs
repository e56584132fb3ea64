//! The JSON of what calls left behind. Must never be written to anybody but an operator: it holds what guests print.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::version::VersionNumber;

/// One call that ended: all that is kept of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Invocation {
    /// As in `x-request-id`.
    pub request_id: String,
    /// Whose function.
    pub tenant: String,
    /// Which function.
    pub function: String,
    /// Which version of it.
    pub version: VersionNumber,
    /// When it ended, in milliseconds since 1970.
    pub at_ms: u64,
    /// How it ended: `ok`, or the code of the failure.
    pub code: String,
    /// Which guest of this call it was: 2 if another one had failed before and the call was tried again.
    #[serde(default = "first")]
    pub attempt: u8,
    /// How the next attempt ended, which is what the caller was answered; absent if there was none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub retried: Option<String>,
    /// The attempt before this one, if it was asked for by its id and there is a record of it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(no_recursion)]
    pub earlier: Option<Box<Invocation>>,
    /// What it did to its version's breaker: `opened` it; or as the probe `healed`, `stays_open` or `undecided`. Absent for all others.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub breaker: Option<String>,
    /// For how long the breaker is open because of it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub breaker_ms: Option<u64>,
    /// The engine's words for it; may be empty.
    pub detail: String,
    /// How its instance came to be: `cold`, `spawned`, `warm`, `reset`, `reused`; absent if none did.
    pub start: Option<String>,
    /// The key, below `limits` in the manifest, of the limit that ended it.
    pub limit_key: Option<String>,
    /// That limit, in the unit of its key.
    pub limit: Option<u64>,
    /// What was used of it, or asked for.
    pub used: Option<u64>,
    /// CPU time.
    pub cpu_ms: f64,
    /// From the request's whole head to the call's end.
    pub wall_ms: f64,
    /// The most memory and tables it held at once.
    pub peak_memory_bytes: u64,
    /// Where the time went.
    pub phases: Phases,
    /// Where the guest was, innermost first: a function's name, its place in the component's bytes, and the line of its
    /// source if what was uploaded has debug information.
    pub backtrace: Vec<String>,
    /// The last lines it printed, oldest first.
    pub log: Vec<String>,
}

fn first() -> u8 {
    1
}

/// Where a call's time went, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Phases {
    /// To find the function.
    pub route: f64,
    /// To have a place, and an instance or room for one.
    pub queue: f64,
    /// To have its program in memory, where it was not.
    pub load: f64,
    /// To have an instance.
    pub spawn: f64,
    /// To have its turns among heavy calls, where it was one.
    pub lane: f64,
    /// The rest, to the guest's end.
    pub guest: f64,
    /// From the request's head to the answer's: not one more phase, but the time until then. Absent if there was none.
    pub first_byte: Option<f64>,
}

/// A page of records.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Failures {
    /// The newest of each code, then the others, newest first.
    pub failures: Vec<Invocation>,
    /// All failures by code, recorded or not.
    pub counts: BTreeMap<String, u64>,
    /// Requests that were rejected before a guest ran, by code: they are counted and not recorded.
    #[serde(default)]
    pub rejected: BTreeMap<String, Rejections>,
    /// Since when they are counted, as RFC 3339 has it: when this server started.
    pub since: String,
    /// Give this as `after` for the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Requests that were rejected with one code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Rejections {
    /// How many.
    pub count: u64,
    /// When the last one was, in milliseconds since 1970.
    pub last_ms: u64,
}

/// What a tenant's calls used since this server started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Usage {
    /// Whose.
    pub tenant: String,
    /// Since when it is counted, as RFC 3339 has it: when this server started.
    pub since: String,
    /// All of the tenant's functions, removed ones included.
    pub sum: UsageSum,
    /// A page of them, in order of name.
    pub functions: Vec<FunctionUsage>,
    /// Give this as `after` for the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What calls used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UsageSum {
    /// Guests that ran. A request that was rejected is none.
    pub invocations: u64,
    /// Those that failed, by code.
    pub failures: BTreeMap<String, u64>,
    /// CPU time.
    pub cpu_ms: u64,
    /// Wall time.
    pub wall_ms: u64,
}

/// What the calls of one function used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FunctionUsage {
    /// Which function.
    pub function: String,
    /// Guests that ran.
    pub invocations: u64,
    /// Those that failed, by code.
    pub failures: BTreeMap<String, u64>,
    /// CPU time.
    pub cpu_ms: u64,
    /// Wall time.
    pub wall_ms: u64,
}
