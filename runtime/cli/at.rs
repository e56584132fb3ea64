//! Which server is meant and with which token: flags and environment, else the data directory of a server on this
//! machine, so that a newcomer needs no login. Must never send the token of a local server to another machine.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use clap::Args;

use super::client::{Client, ClientError, Origin, Token};
use crate::model::name::{FunctionName, TenantName};
use crate::settings::default_data_dir;

/// What every client command understands.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Server")]
pub(super) struct At {
    /// The admin API of a server, such as `http://127.0.0.1:8081`
    #[arg(long, value_name = "URL", env = "SPAWNPOINT_SERVER")]
    pub(super) server: Option<String>,
    /// The admin token; `-` reads it from stdin
    #[arg(long, value_name = "TOKEN", env = "SPAWNPOINT_TOKEN", hide_env_values = true)]
    pub(super) token: Option<String>,
    /// Where the server on this machine keeps its token and address [default: spawnpoint in the user's data directory]
    #[arg(long, value_name = "DIR", env = "SPAWNPOINT_DATA_DIR")]
    pub(super) data_dir: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// Whose functions are meant.
#[derive(Clone, Debug, Args)]
pub(super) struct Owner {
    /// The tenant
    #[arg(short, long, value_name = "TENANT", default_value_t = TenantName::default_tenant())]
    pub(super) tenant: TenantName,
}

/// Which function is meant.
#[derive(Clone, Debug, Args)]
pub(super) struct Target {
    /// The function's name
    #[arg(value_name = "FUNCTION")]
    pub(super) function: FunctionName,
    #[command(flatten)]
    pub(super) owner: Owner,
}

/// Written by `serve`: who may use the admin API.
const TOKEN_FILE: &str = "admin-token";
/// Written by `serve`: where the admin API answers.
const ADDRESS_FILE: &str = "admin-address";
/// Where `serve` answers when nobody says otherwise.
const DEFAULT_SERVER: &str = "http://127.0.0.1:8081";
/// Bytes of either file, or of a token from stdin.
const FILE_BYTES: u64 = 4_096;

impl At {
    /// The server that is meant.
    pub(super) fn client(&self) -> anyhow::Result<Client> {
        let dir = self.data_dir.clone().unwrap_or_else(default_data_dir);
        // What a server wrote there is a help, and no reason to fail where the address is known anyway.
        let local = read(&dir.join(ADDRESS_FILE)).ok().and_then(|text| Origin::parse(&text).ok());
        let origin = match (set(self.server.as_deref()), &local) {
            (Some(server), _) => Origin::parse(server)?,
            (None, Some(local)) => local.clone(),
            (None, None) => Origin::parse(DEFAULT_SERVER)?,
        };
        let is_ours = origin.is_loopback() || local.as_ref() == Some(&origin);
        let token = match set(self.token.as_deref()) {
            Some("-") => Some(Token::new(&bounded(io::stdin().lock())?)?),
            Some(token) => Some(Token::new(token)?),
            None if is_ours => local_token(&dir)?,
            None => None,
        };
        Ok(Client::new(origin, token))
    }
}

impl Owner {
    /// Where the admin API has the tenant's functions.
    pub(super) fn path(&self) -> String {
        format!("/v1/tenants/{}/functions", self.tenant)
    }
}

impl Target {
    /// Where the admin API has the function. A name is a label, which needs no encoding.
    pub(super) fn path(&self) -> String {
        format!("{}/{}", self.owner.path(), self.function)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner.tenant, self.function)
    }
}

/// The token that a server on this machine left for its user. A missing one is no error before a server asks for it.
fn local_token(dir: &Path) -> anyhow::Result<Option<Token>> {
    let path = dir.join(TOKEN_FILE);
    match read(&path) {
        Ok(token) => Ok(Some(Token::new(&token)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ClientError::NoToken { path, source }.into()),
    }
}

/// An empty variable is how a shell says nothing.
fn set(value: Option<&str>) -> Option<&str> {
    value.filter(|value| !value.is_empty())
}

fn read(path: &Path) -> io::Result<String> {
    bounded(File::open(path)?)
}

fn bounded(from: impl io::Read) -> io::Result<String> {
    let mut text = String::new();
    from.take(FILE_BYTES).read_to_string(&mut text)?;
    Ok(text.trim().to_owned())
}
