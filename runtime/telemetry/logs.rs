//! Log lines to standard error, from a thread of their own behind a bounded queue: a full pipe loses lines, not time.
//! Must never make a request wait.

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::layer;
use tracing_subscriber::prelude::*;

use crate::settings::LogSettings;

/// Lines waiting to be written; more are dropped.
const QUEUE: usize = 8_192;

/// The filter is not one.
#[derive(Debug, thiserror::Error)]
#[error("log filter `{filter}` is wrong: allowed is `info`, `warn,spawnpoint::guest=info` and the like")]
pub struct FilterError {
    filter: String,
    #[source]
    source: tracing_subscriber::filter::ParseError,
}

/// Starts logging. Lines still queued are written when the guard is dropped.
///
/// # Errors
/// When the filter cannot be read.
pub fn start(settings: &LogSettings) -> Result<WorkerGuard, FilterError> {
    let filter = EnvFilter::try_new(&settings.filter)
        .map_err(|source| FilterError { filter: settings.filter.clone(), source })?;
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(QUEUE)
        .thread_name("logs")
        .finish(std::io::stderr());
    let text = layer().with_writer(writer).with_ansi(settings.color).with_target(false);
    let registry = tracing_subscriber::registry().with(filter);
    // Only the first call in a process wins, which is what tests with many servers in one process need.
    let _ =
        if settings.json { registry.with(text.json()).try_init() } else { registry.with(text).try_init() };
    Ok(guard)
}
