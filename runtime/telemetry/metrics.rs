//! The metrics that are counted where they happen, with unit and meaning; the others are looked at when somebody asks.
//! Must never have a label with the name of a tenant or a function: what is registered here is never forgotten.

use metrics::{Unit, describe_counter, describe_gauge};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

/// Installs the recorder and says what each metric means.
///
/// # Errors
/// When another recorder was installed before.
pub fn install() -> Result<PrometheusHandle, metrics_exporter_prometheus::BuildError> {
    let handle = PrometheusBuilder::new().install_recorder()?;
    describe_gauge!("spawnpoint_breakers_open", "Versions that are left alone because they failed too often");
    describe_gauge!("spawnpoint_memory_bytes", Unit::Bytes, "Memories and tables of all live instances");
    describe_gauge!("spawnpoint_memory_budget_bytes", Unit::Bytes, "What they may be together");
    describe_counter!("spawnpoint_connections_shed_total", "Connections that did nothing and made room");
    describe_counter!("spawnpoint_connections_refused_total", "Connections for which there was no room");
    describe_counter!("spawnpoint_retries_total", "Calls that were tried again on a fresh instance");
    describe_counter!(
        "spawnpoint_heavy_calls_total",
        "Calls that ran in the heavy lane, from the start or from later on"
    );
    describe_counter!(
        "spawnpoint_resets_given_up_total",
        "Instances that were to be put back to how they were made and were thrown away"
    );
    describe_counter!(
        "spawnpoint_programs_linked_total",
        "Artifacts that were loaded and linked: components, and those that were lowered to one module"
    );
    describe_counter!(
        "spawnpoint_threads_stuck_total",
        "Times that a thread did not come back from a guest for a second"
    );
    describe_gauge!("spawnpoint_optimisations_pending", "Those that are under way or wait for their turn");
    describe_counter!(
        "spawnpoint_optimisations_total",
        "Components that were to be compiled for speed after they had been compiled quickly"
    );
    describe_counter!(
        "spawnpoint_optimisation_milliseconds_total",
        Unit::Milliseconds,
        "How long that took, from its turn to its end"
    );
    describe_gauge!("spawnpoint_functions", "Functions that answer");
    begin();
    Ok(handle)
}

/// Has what is counted as it happens be there from the start: what is missing cannot be told from what never happened.
fn begin() {
    for name in [
        "spawnpoint_connections_refused_total",
        "spawnpoint_connections_shed_total",
        "spawnpoint_retries_total",
        "spawnpoint_resets_given_up_total",
        "spawnpoint_threads_stuck_total",
        "spawnpoint_optimisation_milliseconds_total",
    ] {
        metrics::counter!(name).increment(0);
    }
    metrics::gauge!("spawnpoint_optimisations_pending").increment(0);
    for (name, label, values) in [
        ("spawnpoint_heavy_calls_total", "when", ["start", "later"].as_slice()),
        ("spawnpoint_programs_linked_total", "form", &["component", "lowered"]),
        ("spawnpoint_optimisations_total", "outcome", &["done", "gone", "failed"]),
    ] {
        for value in values {
            metrics::counter!(name, label => *value).increment(0);
        }
    }
}
