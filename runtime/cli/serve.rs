//! `serve`: the platform in the foreground, from its ready line to the end of its drain.
//! Must never decide a default: the settings do.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::print;
use crate::process::{self, Running};
use crate::settings::{Flags, Settings};
use crate::{tasks, telemetry};

/// Each flag wins over the settings file; what nobody says has a default.
#[derive(Clone, Debug, Default, Args)]
pub struct ServeArgs {
    /// Where everything that must survive is kept [default: spawnpoint in the user's data directory]
    #[arg(long, value_name = "DIR", env = "SPAWNPOINT_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where functions are called; port 0 takes a free one [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR", env = "SPAWNPOINT_LISTEN")]
    pub listen: Option<SocketAddr>,
    /// Where the admin API answers; port 0 takes a free one [default: 127.0.0.1:8081]
    #[arg(long, value_name = "ADDR", env = "SPAWNPOINT_ADMIN_LISTEN")]
    pub admin_listen: Option<SocketAddr>,
    /// A settings file (TOML)
    #[arg(long, value_name = "FILE", env = "SPAWNPOINT_CONFIG")]
    pub config: Option<PathBuf>,
    /// Functions also answer at FUNCTION.TENANT.DOMAIN [default: localhost]
    #[arg(long, value_name = "DOMAIN", env = "SPAWNPOINT_BASE_DOMAIN")]
    pub base_domain: Option<String>,
    /// What is logged, such as `info` or `spawnpoint=debug` [default: info]
    #[arg(long, value_name = "FILTER", env = "SPAWNPOINT_LOG")]
    pub log: Option<String>,
    /// How it is logged, to stderr [default: text]
    #[arg(long, value_name = "FORMAT", env = "SPAWNPOINT_LOG_FORMAT")]
    pub log_format: Option<LogFormat>,
    /// Threads that serve functions [default: one a core]
    #[arg(long, value_name = "N", env = "SPAWNPOINT_THREADS")]
    pub threads: Option<usize>,
    /// Print the ready line as one JSON object
    #[arg(long)]
    pub json: bool,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

impl From<ServeArgs> for Flags {
    fn from(args: ServeArgs) -> Self {
        Self {
            config: args.config,
            data_dir: args.data_dir,
            listen: args.listen,
            admin_listen: args.admin_listen,
            base_domain: args.base_domain,
            threads: args.threads,
            log: args.log,
            log_json: args.log_format.map(|format| format == LogFormat::Json),
        }
    }
}

pub(super) fn run(args: ServeArgs) -> anyhow::Result<ExitCode> {
    let json = args.json;
    let mut settings = Flags::from(args).resolve()?;
    let _logs = telemetry::logs::start(&settings.log)?;
    let runtime = control_plane(&mut settings)?;
    runtime.block_on(async {
        // Listened for before anything starts, so that an early signal ends the server in order too.
        let mut ends = Ends::listen()?;
        let running = start(settings).await?;
        print::ready(running.ingress, running.admin, json)?;
        ends.wait().await;
        tracing::info!("draining");
        running.stop().await;
        tracing::info!("stopped");
        anyhow::Ok(())
    })?;
    // A blocking file operation must not hold the exit.
    runtime.shutdown_background();
    Ok(ExitCode::SUCCESS)
}

/// The runtime of the control plane: the admin API, deploys, housekeeping. Traffic has threads of its own.
pub(super) fn control_plane(settings: &mut Settings) -> anyhow::Result<Runtime> {
    settings.threads.nice = tasks::begin_ranks(settings.threads.nice);
    settings.threads.real_time &= tasks::precedence::is_given(settings.threads.count);
    let mut builder = Builder::new_multi_thread();
    let start = || {
        tasks::take(tasks::Rank::Administers);
        tasks::roam();
    };
    builder.worker_threads(2).thread_name("control").on_thread_start(start).enable_all();
    builder.build().context("the operating system refused a thread")
}

/// Starts a server; what is wrong is said with its cause.
pub(super) async fn start(settings: Settings) -> anyhow::Result<Running> {
    Ok(process::start(settings).await?)
}

/// The signals that end a server.
pub(super) struct Ends {
    terminate: Signal,
    interrupt: Signal,
    /// Listened for so that a file above the process's limit is an error of that write, and not the end of the server.
    _oversize: Signal,
}

impl Ends {
    pub(super) fn listen() -> anyhow::Result<Self> {
        let on = |kind| signal(kind).context("signals cannot be listened for");
        let oversize = SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw());
        Ok(Self {
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
            _oversize: on(oversize)?,
        })
    }

    pub(super) async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
