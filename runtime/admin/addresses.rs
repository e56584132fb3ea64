//! Where functions answer, as text for people and programs.
//! Must never decide what is routed: `ingress` does, by the same two forms.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::wire::Urls;
use crate::model::name::{FunctionName, TenantName};

/// The ingress, as a client on this machine reaches it.
#[derive(Clone, Debug)]
pub struct Addresses {
    host: SocketAddr,
    base_domain: String,
    base_domain_is_set: bool,
}

impl Addresses {
    /// The ingress listens on `ingress`. Whether the operator chose the base domain decides which form is `url`:
    /// `*.localhost` does not resolve through every libc, a domain somebody set does.
    #[must_use]
    pub fn new(ingress: SocketAddr, base_domain: &str, base_domain_is_set: bool) -> Self {
        let mut host = ingress;
        // A wildcard is where to listen, not where to call.
        match host.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => host.set_ip(Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(ip) if ip.is_unspecified() => host.set_ip(Ipv6Addr::LOCALHOST.into()),
            IpAddr::V4(_) | IpAddr::V6(_) => {}
        }
        let base_domain = base_domain.trim_matches('.').to_owned();
        Self { host, base_domain, base_domain_is_set }
    }

    /// The preferred form, and both.
    pub(super) fn of(&self, tenant: &TenantName, function: &FunctionName) -> (String, Urls) {
        let (host, base, port) = (self.host, &self.base_domain, self.host.port());
        let urls = Urls {
            path: format!("http://{host}/{tenant}/{function}/"),
            host: format!("http://{function}.{tenant}.{base}:{port}/"),
        };
        let preferred = if self.base_domain_is_set { &urls.host } else { &urls.path };
        (preferred.clone(), urls)
    }
}
