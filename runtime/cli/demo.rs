//! What `spawnpoint demo` is given. Must never read the data directory of a real server unless it is told to.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

/// A demo leaves nothing behind unless it is given a data directory.
#[derive(Clone, Debug, Default, Args)]
pub struct DemoArgs {
    /// Where functions are called; port 0 takes a free one [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// Where the admin API answers; port 0 takes a free one [default: 127.0.0.1:8081]
    #[arg(long, value_name = "ADDR")]
    pub admin_listen: Option<SocketAddr>,
    /// Keep what is deployed here [default: a temporary directory that is removed at the end]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// End after the table, instead of serving until Ctrl-C
    #[arg(long)]
    pub once: bool,
    /// Print the table as JSON
    #[arg(long)]
    pub json: bool,
}
