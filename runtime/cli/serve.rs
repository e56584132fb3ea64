//! What `spawnpoint serve` is given. Must never decide a default: the settings do.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::settings::Flags;

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
