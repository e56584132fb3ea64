//! Settings as they are written: a TOML file and flags. Unknown keys are refused, by name.
//! Must never guess what a wrong value was meant to be.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{AfterUse, LogSettings, Quotas, Settings, Threads, default_data_dir, no_color};
use crate::model::breaker::Rules;
use crate::model::limits::{Limits, Overrides, Quota, ServerLimits};
use crate::model::name::{TenantName, is_label};
use crate::model::rate::MOST_PER_SECOND;
use crate::model::version::Tier;

/// The nice value of threads that answer, where that is allowed: three times what others weigh.
const NICE: i32 = -5;

/// The settings file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawSettings {
    /// See [`Settings::data_dir`].
    pub data_dir: Option<PathBuf>,
    /// See [`Settings::listen`].
    pub listen: Option<SocketAddr>,
    /// See [`Settings::admin_listen`].
    pub admin_listen: Option<SocketAddr>,
    /// See [`Settings::base_domain`].
    pub base_domain: Option<String>,
    /// See [`Settings::threads`].
    pub threads: Option<usize>,
    /// See [`Threads::pinned`].
    pub pin_threads: Choice,
    /// See [`Threads::nice`].
    pub nice: Option<i32>,
    /// See [`Threads::real_time`].
    pub real_time: Choice,
    /// See [`AfterUse::scan_pages`].
    pub scan_pages: Choice,
    /// See [`AfterUse::reset_instances`].
    pub reset_instances: Choice,
    /// See [`Settings::lower_components`].
    pub lower_components: Choice,
    /// See [`Settings::server_timing`].
    pub server_timing: Option<bool>,
    /// See [`Settings::first_tier`].
    pub fast_tier: Option<bool>,
    /// See [`LogSettings`].
    pub log: RawLog,
    /// `[server]`: see [`ServerLimits`].
    pub server: ServerLimits,
    /// `[limits]`: see [`Settings::defaults`].
    pub limits: Limits,
    /// `[ceiling]`: see [`Settings::ceiling`]; what is left out is the built-in one.
    pub ceiling: Option<Overrides>,
    /// `[tenant]`: see [`Quotas::any`].
    pub tenant: Quota,
    /// `[tenants.NAME]`: see [`Quotas::named`]; what is left out is as built in, not as in `[tenant]`.
    pub tenants: BTreeMap<TenantName, Quota>,
    /// `[breaker]`: see [`Rules`].
    pub breaker: Rules,
}

/// `[log]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawLog {
    /// See [`LogSettings::filter`].
    pub filter: Option<String>,
    /// `text` or `json`.
    pub format: Option<LogFormat>,
}

/// Whether something is done where the kernel allows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Choice {
    /// Where it is known to be safe.
    #[default]
    Auto,
    /// Never, as on a kernel without it.
    Off,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// What flags and environment say; each wins over the file.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// The settings file.
    pub config: Option<PathBuf>,
    /// See [`Settings::data_dir`].
    pub data_dir: Option<PathBuf>,
    /// See [`Settings::listen`].
    pub listen: Option<SocketAddr>,
    /// See [`Settings::admin_listen`].
    pub admin_listen: Option<SocketAddr>,
    /// See [`Settings::base_domain`].
    pub base_domain: Option<String>,
    /// See [`Settings::threads`].
    pub threads: Option<usize>,
    /// See [`LogSettings::filter`].
    pub log: Option<String>,
    /// See [`LogSettings::json`].
    pub log_json: Option<bool>,
}

/// What is wrong with the settings.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("settings file `{path}` cannot be read")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The file is not what a settings file is.
    #[error("settings file `{path}` is wrong")]
    Parse {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A value outside its range.
    #[error("setting `{field}` is `{value}`: allowed is {allowed}")]
    Value {
        /// Which setting.
        field: &'static str,
        /// What was given.
        value: String,
        /// What would do.
        allowed: String,
    },
}

impl RawSettings {
    /// Reads a settings file.
    ///
    /// # Errors
    /// When it cannot be read, or holds anything unknown.
    pub fn read(path: &Path) -> Result<Self, SettingsError> {
        let path_of = || path.to_owned();
        let text = std::fs::read_to_string(path)
            .map_err(|source| SettingsError::Read { path: path_of(), source })?;
        toml::from_str(&text)
            .map_err(|source| SettingsError::Parse { path: path_of(), source: Box::new(source) })
    }
}

impl Flags {
    /// The settings in force.
    ///
    /// # Errors
    /// The first value that is not allowed.
    pub fn resolve(self) -> Result<Settings, SettingsError> {
        let raw = match &self.config {
            Some(path) => RawSettings::read(path)?,
            None => RawSettings::default(),
        };
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let base = self.base_domain.or(raw.base_domain);
        let base_domain_is_set = base.is_some();
        let base_domain = base.unwrap_or_else(|| "localhost".to_owned());
        check(base_domain.split('.').all(is_label), "base_domain", &base_domain, "a lower-case domain name")?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = self.threads.or(raw.threads).unwrap_or(cores);
        check((1..=64).contains(&threads), "threads", threads, "1 to 64")?;
        let nice = raw.nice.unwrap_or(NICE);
        check((-10..=0).contains(&nice), "nice", nice, "-10 to 0")?;
        let json = raw.log.format.map(|format| format == LogFormat::Json);
        let ceiling = ceiling(raw.ceiling.unwrap_or_default());
        check_server(&raw.server)?;
        check_limits(&raw.limits, &ceiling)?;
        check_breaker(&raw.breaker)?;
        raw.tenants.values().chain([&raw.tenant]).try_for_each(check_quota)?;
        Ok(Settings {
            data_dir: self.data_dir.or(raw.data_dir).unwrap_or_else(default_data_dir),
            listen: self.listen.or(raw.listen).unwrap_or_else(|| local(8080)),
            admin_listen: self.admin_listen.or(raw.admin_listen).unwrap_or_else(|| local(8081)),
            base_domain,
            base_domain_is_set,
            threads: Threads {
                count: threads,
                pinned: raw.pin_threads == Choice::Auto,
                nice,
                real_time: raw.real_time == Choice::Auto,
            },
            after_use: AfterUse {
                scan_pages: raw.scan_pages == Choice::Auto,
                reset_instances: raw.reset_instances == Choice::Auto,
            },
            lower_components: raw.lower_components == Choice::Auto,
            server_timing: raw.server_timing.unwrap_or(true),
            first_tier: if raw.fast_tier.unwrap_or(true) { Tier::Fast } else { Tier::Speed },
            log: LogSettings {
                filter: self.log.or(raw.log.filter).unwrap_or_else(|| "info".to_owned()),
                json: self.log_json.or(json).unwrap_or(false),
                color: std::io::stderr().is_terminal() && !no_color(),
            },
            server: raw.server,
            defaults: raw.limits,
            ceiling,
            quotas: Quotas { any: raw.tenant, named: raw.tenants },
            breaker: raw.breaker,
        })
    }
}

fn check(
    fine: bool,
    field: &'static str,
    value: impl Display,
    allowed: impl Display,
) -> Result<(), SettingsError> {
    if fine {
        return Ok(());
    }
    Err(SettingsError::Value { field, value: value.to_string(), allowed: allowed.to_string() })
}

fn ceiling(raw: Overrides) -> Limits {
    let built_in = Limits::default_ceiling();
    Limits {
        cpu_ms: raw.cpu_ms.unwrap_or(built_in.cpu_ms),
        wall_ms: raw.wall_ms.unwrap_or(built_in.wall_ms),
        memory_bytes: raw.memory_bytes.unwrap_or(built_in.memory_bytes),
        table_elements: raw.table_elements.unwrap_or(built_in.table_elements),
        request_body_bytes: raw.request_body_bytes.unwrap_or(built_in.request_body_bytes),
        response_body_bytes: raw.response_body_bytes.unwrap_or(built_in.response_body_bytes),
        concurrent_requests: raw.concurrent_requests.unwrap_or(built_in.concurrent_requests),
        requests_per_second: raw.requests_per_second.unwrap_or(built_in.requests_per_second),
        burst: raw.burst.unwrap_or(built_in.burst),
    }
}

fn check_rate(field: &'static str, value: u32) -> Result<(), SettingsError> {
    check(value <= MOST_PER_SECOND, field, value, format!("0 to {MOST_PER_SECOND}"))
}

fn check_quota(quota: &Quota) -> Result<(), SettingsError> {
    check_rate("tenant.requests_per_second", quota.requests_per_second)?;
    check_rate("tenant.burst", quota.burst)?;
    check((1..=1_000).contains(&quota.weight), "tenant.weight", quota.weight, "1 to 1000")
}

fn check_breaker(rules: &Rules) -> Result<(), SettingsError> {
    let range = |field, value: u64, lowest: u64, highest: u64| {
        check((lowest..=highest).contains(&value), field, value, format!("{lowest} to {highest}"))
    };
    range("breaker.consecutive", rules.consecutive.into(), 1, 1_000_000)?;
    range("breaker.window_ms", rules.window_ms, 100, 3_600_000)?;
    range("breaker.least", rules.least.into(), 1, 1_000_000)?;
    range("breaker.ratio_percent", rules.ratio_percent.into(), 1, 100)?;
    range("breaker.backoff_ms", rules.backoff_ms, 1, 3_600_000)?;
    range("breaker.backoff_max_ms", rules.backoff_max_ms, rules.backoff_ms, 3_600_000)
}

fn check_limits(limits: &Limits, ceiling: &Limits) -> Result<(), SettingsError> {
    check(
        (64 << 10..=4 << 30).contains(&ceiling.memory_bytes),
        "ceiling.memory_bytes",
        ceiling.memory_bytes,
        "65536 to 4294967296",
    )?;
    check(
        (1..=10_000_000).contains(&ceiling.table_elements),
        "ceiling.table_elements",
        ceiling.table_elements,
        "1 to 10000000",
    )?;
    check(limits.cpu_ms > 0, "limits.cpu_ms", limits.cpu_ms, "at least 1")?;
    check(
        limits.wall_ms > limits.cpu_ms,
        "limits.wall_ms",
        limits.wall_ms,
        format!("more than `limits.cpu_ms`, which is {}", limits.cpu_ms),
    )?;
    check(limits.concurrent_requests > 0, "limits.concurrent_requests", 0, "at least 1")?;
    check_rate("limits.requests_per_second", limits.requests_per_second)?;
    check_rate("limits.burst", limits.burst)?;
    check_rate("ceiling.requests_per_second", ceiling.requests_per_second)?;
    check_rate("ceiling.burst", ceiling.burst)?;
    let above = [
        ("limits.cpu_ms", limits.cpu_ms, ceiling.cpu_ms),
        ("limits.wall_ms", limits.wall_ms, ceiling.wall_ms),
        ("limits.memory_bytes", limits.memory_bytes, ceiling.memory_bytes),
        ("limits.request_body_bytes", limits.request_body_bytes, ceiling.request_body_bytes),
        ("limits.response_body_bytes", limits.response_body_bytes, ceiling.response_body_bytes),
    ];
    for (field, value, highest) in above {
        check(value <= highest, field, value, format!("at most the ceiling, {highest}"))?;
    }
    Ok(())
}

fn check_server(server: &ServerLimits) -> Result<(), SettingsError> {
    let range = |field, value: u64, lowest: u64, highest: u64| {
        check((lowest..=highest).contains(&value), field, value, format!("{lowest} to {highest}"))
    };
    range("server.connections", server.connections.into(), 1, 1_000_000)?;
    range("server.header_bytes", server.header_bytes.into(), 1_024, 65_536)?;
    range("server.header_fields", server.header_fields.into(), 8, 200)?;
    range("server.header_read_ms", server.header_read_ms, 100, 600_000)?;
    range("server.idle_ms", server.idle_ms, 100, 3_600_000)?;
    range("server.write_stall_ms", server.write_stall_ms, 100, 3_600_000)?;
    range("server.busy_poll_us", server.busy_poll_us, 0, 1_000)?;
    range("server.drain_ms", server.drain_ms, 0, 3_600_000)?;
    range("server.upload_bytes", server.upload_bytes, 1_024, 512 << 20)?;
    range("server.compiles", server.compiles.into(), 1, 64)?;
    range("server.compile_wall_ms", server.compile_wall_ms, 1_000, 600_000)?;
    range("server.compile_cpu_s", server.compile_cpu_s, 1, 3_600)?;
    range("server.compile_memory_bytes", server.compile_memory_bytes, 2 << 30, 64 << 30)?;
    range("server.instances", server.instances.into(), 1, 5_000)?;
    let memory = server.memory_bytes;
    check(memory == 0 || memory >= 1 << 20, "server.memory_bytes", memory, "0, or at least 1048576")?;
    let new = server.new_memory_bytes_per_second;
    check(new == 0 || new >= 16 << 20, "server.new_memory_bytes_per_second", new, "0, or at least 16777216")?;
    range("server.ready_per_program", server.ready_per_program.into(), 0, 1_000)?;
    range("server.loaded_programs", server.loaded_programs.into(), 1, 20_000)?;
    range("server.versions_per_function", server.versions_per_function.into(), 2, 1_000)?;
    range("server.functions_per_tenant", server.functions_per_tenant.into(), 1, 1_000_000)?;
    range("server.tenants", server.tenants.into(), 1, 1_000_000)
}
