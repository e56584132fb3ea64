//! What every handler may use. Must never hold anything of one request.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::addresses::Addresses;
use super::problem::Refusal;
use super::token::Token;
use crate::deploy::pipeline::Deployer;
use crate::deploy::shares::Shares;
use crate::tasks;

/// What the admin API is made of.
pub struct AdminState {
    /// Changes what is deployed.
    pub deployer: Arc<Deployer>,
    /// What a client must know.
    pub token: Token,
    /// Where functions answer.
    pub addresses: Addresses,
    /// Gives the metrics as Prometheus text.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// False before the ingress accepts and once the server drains.
    pub ready: Arc<AtomicBool>,
}

/// The state as the handlers share it.
pub(super) struct Admin {
    pub(super) deployer: Arc<Deployer>,
    pub(super) token: Token,
    pub(super) addresses: Addresses,
    pub(super) metrics: Arc<dyn Fn() -> String + Send + Sync>,
    pub(super) ready: Arc<AtomicBool>,
    /// Taken from the first byte of an upload to the answer.
    pub(super) uploads: Shares,
}

/// Uploads and the deploys that follow them, at once.
pub(super) const UPLOADS: usize = 32;

impl Admin {
    pub(super) fn new(state: AdminState) -> Arc<Self> {
        let AdminState { deployer, token, addresses, metrics, ready } = state;
        let uploads = Shares::of(UPLOADS);
        Arc::new(Self { deployer, token, addresses, metrics, ready, uploads })
    }
}

/// Does a change to its end, also when the client goes away meanwhile: the catalog and the routes must not part.
pub(super) async fn to_the_end<T: Send + 'static>(
    change: impl Future<Output = Result<T, Refusal>> + Send + 'static,
) -> Result<T, Refusal> {
    match tasks::detached(change).await {
        Ok(done) => done,
        Err(lost) => Err(Refusal::host(&lost)),
    }
}
