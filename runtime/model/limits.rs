//! Every bound there is, with its unit in its name and its default beside it.
//! Must never be consulted for anything but a number: who enforces a limit says so where it does.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::rate::{MOST_PER_SECOND, Rate};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// What one invocation, or one function, may use. Resolved: no field is optional.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// CPU time of one invocation, start-up and clean-up included, in milliseconds.
    pub cpu_ms: u64,
    /// Wall-clock time of one invocation, in milliseconds; always above `cpu_ms`.
    pub wall_ms: u64,
    /// All linear memories and tables of one instance together, in bytes.
    pub memory_bytes: u64,
    /// Elements of any one table.
    pub table_elements: u64,
    /// Request body, in bytes.
    pub request_body_bytes: u64,
    /// Response body, in bytes.
    pub response_body_bytes: u64,
    /// Requests of one function in progress at once.
    pub concurrent_requests: u32,
    /// Requests of one function that are let in each second; 0 for as many as come.
    pub requests_per_second: u32,
    /// Requests let in at once after a pause, if there is a rate; 0 for one second's worth.
    pub burst: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            cpu_ms: 1_000,
            wall_ms: 30_000,
            memory_bytes: 128 * MIB,
            table_elements: 20_000,
            request_body_bytes: 16 * MIB,
            response_body_bytes: 64 * MIB,
            concurrent_requests: 256,
            requests_per_second: 0,
            burst: 0,
        }
    }
}

impl Limits {
    /// The most an operator may allow when the settings say nothing: what the engine is built for.
    #[must_use]
    pub fn default_ceiling() -> Self {
        Self {
            cpu_ms: 60_000,
            wall_ms: 300_000,
            memory_bytes: 512 * MIB,
            table_elements: 100_000,
            request_body_bytes: 1024 * MIB,
            response_body_bytes: 4096 * MIB,
            concurrent_requests: 10_000,
            requests_per_second: 0,
            burst: 0,
        }
    }

    /// The rate of one function's requests, if it has one.
    #[must_use]
    pub fn rate(&self) -> Option<Rate> {
        Rate::new(self.requests_per_second, self.burst)
    }
}

/// The limits a manifest asks for; what it leaves out is the operator's default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = LimitOverrides)]
pub struct Overrides {
    /// See [`Limits::cpu_ms`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_ms: Option<u64>,
    /// See [`Limits::wall_ms`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wall_ms: Option<u64>,
    /// See [`Limits::memory_bytes`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// See [`Limits::table_elements`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table_elements: Option<u64>,
    /// See [`Limits::request_body_bytes`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_body_bytes: Option<u64>,
    /// See [`Limits::response_body_bytes`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_body_bytes: Option<u64>,
    /// See [`Limits::concurrent_requests`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrent_requests: Option<u32>,
    /// See [`Limits::requests_per_second`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_second: Option<u32>,
    /// See [`Limits::burst`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
}

/// A limit outside what the operator allows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`limits.{field}` is {value}: allowed is {lowest} to {highest}")]
pub struct LimitError {
    /// The field of the manifest.
    pub field: &'static str,
    /// What was asked for.
    pub value: u64,
    /// The least that makes sense.
    pub lowest: u64,
    /// The operator's ceiling, or what another limit leaves.
    pub highest: u64,
}

impl Overrides {
    /// As [`Overrides::resolve`], for limits that were accepted once: what the ceiling no longer allows is cut to it.
    #[must_use]
    pub fn clamp(&self, defaults: &Limits, ceiling: &Limits) -> Limits {
        let cut = |asked: Option<u64>, highest: u64| asked.map(|value| value.min(highest));
        let cpu_ms = cut(self.cpu_ms, ceiling.cpu_ms.min(ceiling.wall_ms.saturating_sub(1)));
        let wall_ms = cut(self.wall_ms, ceiling.wall_ms);
        let cut = Self {
            cpu_ms,
            wall_ms: wall_ms.map(|wall| wall.max(cpu_ms.unwrap_or(defaults.cpu_ms) + 1)),
            memory_bytes: cut(self.memory_bytes, ceiling.memory_bytes),
            table_elements: cut(self.table_elements, ceiling.table_elements),
            request_body_bytes: cut(self.request_body_bytes, ceiling.request_body_bytes),
            response_body_bytes: cut(self.response_body_bytes, ceiling.response_body_bytes),
            concurrent_requests: self.concurrent_requests.map(|n| n.min(ceiling.concurrent_requests)),
            requests_per_second: self.requests_per_second.map(|n| rarer(n, ceiling.requests_per_second)),
            burst: self.burst.map(|n| n.min(most_at_once(ceiling))),
        };
        cut.resolve(defaults, ceiling).unwrap_or(*defaults)
    }

    /// The limits in force: what the manifest asks for, else `defaults`, never above `ceiling`.
    ///
    /// # Errors
    /// The first field that is zero or above the ceiling, or a wall time not above the CPU time.
    pub fn resolve(&self, defaults: &Limits, ceiling: &Limits) -> Result<Limits, LimitError> {
        let pick = |field, asked: Option<u64>, default: u64, lowest: u64, highest: u64| match asked {
            None => Ok(default.min(highest)),
            Some(value) if (lowest..=highest).contains(&value) => Ok(value),
            Some(value) => Err(LimitError { field, value, lowest, highest }),
        };
        let (d, c) = (defaults, ceiling);
        let cpu_ms = pick("cpu_ms", self.cpu_ms, d.cpu_ms, 1, c.cpu_ms)?;
        // A default wall time gives way to a longer CPU time that was asked for; an explicit one is checked.
        let wall_default = d.wall_ms.max(cpu_ms.saturating_add(1));
        let wall_ms = pick("wall_ms", self.wall_ms, wall_default, cpu_ms + 1, c.wall_ms)?;
        let concurrent = pick(
            "concurrent_requests",
            self.concurrent_requests.map(u64::from),
            u64::from(d.concurrent_requests),
            1,
            u64::from(c.concurrent_requests),
        )?;
        let (requests_per_second, burst) = self.rate(d, c)?;
        Ok(Limits {
            cpu_ms: cpu_ms.min(wall_ms.saturating_sub(1)),
            wall_ms,
            memory_bytes: pick("memory_bytes", self.memory_bytes, d.memory_bytes, 64 * KIB, c.memory_bytes)?,
            table_elements: pick(
                "table_elements",
                self.table_elements,
                d.table_elements,
                1,
                c.table_elements,
            )?,
            request_body_bytes: pick(
                "request_body_bytes",
                self.request_body_bytes,
                d.request_body_bytes,
                0,
                c.request_body_bytes,
            )?,
            response_body_bytes: pick(
                "response_body_bytes",
                self.response_body_bytes,
                d.response_body_bytes,
                0,
                c.response_body_bytes,
            )?,
            concurrent_requests: u32::try_from(concurrent).unwrap_or(u32::MAX),
            requests_per_second,
            burst,
        })
    }

    /// The rate in force with its burst: a ceiling of zero is none, and so is a rate.
    fn rate(&self, defaults: &Limits, ceiling: &Limits) -> Result<(u32, u32), LimitError> {
        let check = |field, value: u32, highest: u32| {
            let (value, highest) = (u64::from(value), u64::from(highest));
            if value <= highest { Ok(()) } else { Err(LimitError { field, value, lowest: 0, highest }) }
        };
        let most =
            if ceiling.requests_per_second == 0 { MOST_PER_SECOND } else { ceiling.requests_per_second };
        let asked = self.requests_per_second.unwrap_or(defaults.requests_per_second);
        check("requests_per_second", self.requests_per_second.unwrap_or(0), most)?;
        check("burst", self.burst.unwrap_or(0), most_at_once(ceiling))?;
        let burst = self.burst.unwrap_or(defaults.burst).min(most_at_once(ceiling));
        Ok((rarer(asked, ceiling.requests_per_second), burst))
    }
}

/// The smaller of two rates, where zero is no rate at all.
fn rarer(one: u32, other: u32) -> u32 {
    if one == 0 || other == 0 { one.max(other) } else { one.min(other) }
}

/// The largest burst under this ceiling.
fn most_at_once(ceiling: &Limits) -> u32 {
    if ceiling.burst == 0 { MOST_PER_SECOND } else { ceiling.burst }
}

/// What one tenant may use of the server, all its functions together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Quota {
    /// Requests in progress at once; 0 for as many as its functions may have.
    pub concurrent_requests: u32,
    /// Requests that are let in each second; 0 for as many as come.
    pub requests_per_second: u32,
    /// Requests let in at once after a pause, if there is a rate; 0 for one second's worth.
    pub burst: u32,
    /// Its share of instances and memory where they are scarce, compared with that of others.
    pub weight: u32,
}

impl Default for Quota {
    fn default() -> Self {
        Self { concurrent_requests: 0, requests_per_second: 0, burst: 0, weight: 1 }
    }
}

/// Bounds of the server itself: the operator's, never a tenant's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerLimits {
    /// Open connections on the ingress.
    pub connections: u32,
    /// The head of a request, in bytes.
    pub header_bytes: u32,
    /// Fields of a request's head.
    pub header_fields: u32,
    /// From accept, or from the end of the last answer's bytes, until a whole head must have arrived.
    pub header_read_ms: u64,
    /// A connection on which nothing runs is closed after this.
    pub idle_ms: u64,
    /// A client that takes no byte of its answer for this long is cut off.
    pub write_stall_ms: u64,
    /// How long a thread looks for the next request before it sleeps, where they come that soon, in microseconds; 0 for
    /// not at all.
    pub busy_poll_us: u64,
    /// What a drain waits for running requests.
    pub drain_ms: u64,
    /// One upload, in bytes.
    pub upload_bytes: u64,
    /// Compilations at once.
    pub compiles: u32,
    /// Wall-clock time of one compilation.
    pub compile_wall_ms: u64,
    /// CPU time of one compilation, in seconds.
    pub compile_cpu_s: u64,
    /// Address space of one compilation, in bytes.
    pub compile_memory_bytes: u64,
    /// Live instances of each engine profile, ready ones included.
    pub instances: u32,
    /// Memories and tables of all live instances together; 0 for three quarters of what the machine allows.
    pub memory_bytes: u64,
    /// Bytes of new memory that calls in the heavy lane may take from the system in a second while somebody is answered; 0 for as
    /// many as they want.
    pub new_memory_bytes_per_second: u64,
    /// Ready instances kept for one program by one thread.
    pub ready_per_program: u32,
    /// Programs kept loaded.
    pub loaded_programs: u32,
    /// Versions kept of one function; publishing one more drops the oldest that is not active.
    pub versions_per_function: u32,
    /// Functions of one tenant.
    pub functions_per_tenant: u32,
    /// Tenants.
    pub tenants: u32,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            header_bytes: 16 * 1024,
            header_fields: 100,
            header_read_ms: 10_000,
            idle_ms: 60_000,
            write_stall_ms: 30_000,
            busy_poll_us: 100,
            drain_ms: 10_000,
            upload_bytes: 64 * MIB,
            compiles: 2,
            compile_wall_ms: 60_000,
            compile_cpu_s: 120,
            compile_memory_bytes: 4096 * MIB,
            instances: 1_000,
            memory_bytes: 0,
            new_memory_bytes_per_second: 256 * MIB,
            ready_per_program: 32,
            loaded_programs: 4_000,
            versions_per_function: 100,
            functions_per_tenant: 10_000,
            tenants: 10_000,
        }
    }
}

/// Handles one store may hold: component resources and host table entries each.
pub const HANDLES: usize = 4_096;
/// Bytes a guest may have copied to the host by one call of a host function.
pub const HOSTCALL_BYTES: usize = 4 << 20;
/// Bytes of one call for random bytes.
pub const RANDOM_BYTES: u64 = 64 * KIB;
/// Bytes of the fields of one head that a guest makes, in memory.
pub const FIELD_BYTES: usize = 64 * 1024;
/// Core instances one component may consist of. A JavaScript or Python component has about ten.
pub const CORE_INSTANCES_PER_COMPONENT: u32 = 24;
/// Tables one component may have in all.
pub const TABLES_PER_COMPONENT: u32 = 24;
/// Tables one core module may have.
pub const TABLES_PER_MODULE: u32 = 4;
/// Memories one component may have in all.
pub const MEMORIES_PER_COMPONENT: u32 = 4;
/// Bytes of the longest path and query that is routed.
pub const URI_BYTES: usize = 8 * 1024;
/// Streams of one HTTP/2 connection at once.
pub const HTTP2_STREAMS: u32 = 100;
/// Frames of a trap's backtrace that are captured.
pub const BACKTRACE_FRAMES: usize = 20;
/// Programs a route may weigh against each other.
pub const WEIGHTS: usize = 8;
