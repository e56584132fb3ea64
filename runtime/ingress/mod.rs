//! Tenants' traffic: from an accepted connection to the last byte of an answer.
//! Must never write to the catalog, nor wait for the control plane: with its table it serves on.

pub mod admit;
pub mod asked;
pub mod body;
pub mod busy_poll;
pub mod flight;
pub mod head;
mod recorder;
pub mod reply;
mod retry;
pub mod service;
pub mod stint;
mod timing;
pub mod turnstile;
pub mod visit;
pub mod watch;
pub mod worker;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::deploy::loader::Loader;
use crate::deploy::table::Table;
use crate::model::limits::ServerLimits;

/// What all threads of the data plane share.
pub struct Face {
    /// The live routes.
    pub table: Arc<Table>,
    /// How a program gets into memory.
    pub loader: Arc<Loader>,
    /// The operator's bounds.
    pub limits: ServerLimits,
    /// The domain below which `function.tenant` is a host.
    pub base_domain: String,
    draining: AtomicBool,
}

impl Face {
    /// A data plane that serves.
    #[must_use]
    pub fn new(table: Arc<Table>, loader: Arc<Loader>, limits: ServerLimits, base: String) -> Arc<Self> {
        let draining = AtomicBool::new(false);
        Arc::new(Self { table, loader, limits, base_domain: base, draining })
    }

    /// From now on every new request is refused.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    /// Whether [`Face::drain`] was called.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}
