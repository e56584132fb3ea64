//! Every metric, with its unit and meaning. Must never have a label that a client can make up.

use metrics::{Unit, describe_counter, describe_gauge};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

/// Installs the recorder and says what each metric means.
///
/// # Errors
/// When another recorder was installed before.
pub fn install() -> Result<PrometheusHandle, metrics_exporter_prometheus::BuildError> {
    let handle = PrometheusBuilder::new().install_recorder()?;
    describe_counter!(
        "spawnpoint_requests_completed_total",
        "Requests that a guest answered well, by tenant and function"
    );
    describe_counter!(
        "spawnpoint_requests_failed_total",
        "Requests whose guest ran and failed, by tenant, function and code"
    );
    describe_counter!("spawnpoint_requests_rejected_total", "Requests that reached no guest, by code");
    describe_counter!(
        "spawnpoint_guest_cpu_microseconds_total",
        Unit::Microseconds,
        "CPU time of guests, start-up included, by tenant and function"
    );
    describe_counter!(
        "spawnpoint_breaker_openings_total",
        "How often a version was left alone because it failed too often, by tenant and function"
    );
    describe_gauge!("spawnpoint_breakers_open", "Versions that are left alone because they failed too often");
    describe_gauge!("spawnpoint_memory_bytes", Unit::Bytes, "Memories and tables of all live instances");
    describe_gauge!("spawnpoint_memory_budget_bytes", Unit::Bytes, "What they may be together");
    describe_gauge!(
        "spawnpoint_tenant_memory_bytes",
        Unit::Bytes,
        "Memories and tables of a tenant's live instances, by tenant"
    );
    describe_counter!("spawnpoint_connections_refused_total", "Connections for which there was no room");
    describe_counter!("spawnpoint_retries_total", "Calls that were tried again on a fresh instance");
    describe_counter!(
        "spawnpoint_heavy_calls_total",
        "Calls that ran in the heavy lane, from the start or from later on"
    );
    describe_counter!(
        "spawnpoint_threads_stuck_total",
        "Times that a thread did not come back from a guest for a second"
    );
    describe_gauge!("spawnpoint_connections", "Open connections on the ingress");
    describe_gauge!("spawnpoint_programs_loaded", "Programs in memory");
    describe_gauge!("spawnpoint_functions", "Functions that answer");
    Ok(handle)
}
