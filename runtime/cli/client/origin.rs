//! Which host and port a URL names, and how to get there. Must never speak anything but plain http.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::Uri;

/// A scheme (http), a host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// A name or an address; of IPv6 without its brackets.
    host: String,
    port: u16,
}

/// A URL that leads nowhere this program can go.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OriginError {
    /// Encrypted.
    #[error(
        "`{0}` is https, which this program does not speak yet: allowed is `http://HOST:PORT`, through a tunnel if the way is not safe"
    )]
    Https(String),
    /// Something else.
    #[error("`{0}` is no server: allowed is `http://HOST:PORT`")]
    NoUrl(String),
    /// Of a server, only the address is said.
    #[error("`{0}` has a path, a query or a user: allowed is `http://HOST:PORT`")]
    Path(String),
}

impl Origin {
    /// Reads `http://HOST:PORT` or `HOST:PORT`.
    pub(crate) fn parse(text: &str) -> Result<Self, OriginError> {
        let text = text.trim();
        let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let no_url = || OriginError::NoUrl(text.to_owned());
        let uri: Uri = whole.parse().map_err(|_| no_url())?;
        let authority = uri.authority().ok_or_else(no_url)?;
        if uri.path() != "/" || uri.query().is_some() || authority.as_str().contains('@') {
            // A user's password is not repeated.
            let shown = text.rsplit('@').next().unwrap_or_default();
            return Err(OriginError::Path(shown.to_owned()));
        }
        Self::of(&uri)
    }

    /// The origin of a whole URL.
    pub(crate) fn of(uri: &Uri) -> Result<Self, OriginError> {
        let no_url = || OriginError::NoUrl(uri.to_string());
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => return Err(OriginError::Https(uri.to_string())),
            _ => return Err(no_url()),
        }
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(no_url)?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        let port = match uri.port_u16() {
            Some(port) if port > 0 => port,
            // A number that is no port is still in the authority.
            None if uri.authority().is_some_and(|authority| authority.as_str() == host) => 80,
            _ => return Err(no_url()),
        };
        Ok(Self { host, port })
    }

    /// Host and port, as the host field wants them.
    pub(crate) fn authority(&self) -> String {
        let Self { host, port } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }

    /// Whether it is this machine, whatever anybody's name server says.
    pub(crate) fn is_loopback(&self) -> bool {
        let (host, _) = self.target();
        host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
    }

    /// What to connect to. Not every libc resolves the names below `localhost`; and what listens on all addresses is
    /// reached on the nearest.
    pub(crate) fn target(&self) -> (String, u16) {
        let host = match self.host.parse() {
            Ok(IpAddr::V4(address)) if address.is_unspecified() => Ipv4Addr::LOCALHOST.to_string(),
            Ok(IpAddr::V6(address)) if address.is_unspecified() => Ipv6Addr::LOCALHOST.to_string(),
            Err(_) if self.host.ends_with(".localhost") => "localhost".to_owned(),
            _ => self.host.clone(),
        };
        (host, self.port)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.authority())
    }
}
