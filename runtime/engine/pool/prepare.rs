//! One program takes the place of another: as many instances of it are made ready as there are of that one.
//! Must never touch the pool of the one that still answers.

use std::sync::Arc;

use super::{Pool, Shelf};
use crate::engine::program::{Program, ProgramId};

impl Shelf {
    /// Has instances of a program made ahead that is about to answer in the place of another, as if its calls had been
    /// this one's. Whoever orders it then forgets the one or the other.
    pub fn prepare(&self, new: &Arc<Program>, old: ProgramId) {
        let mut pools = self.pools.borrow_mut();
        // One that is there already has been called, which says more.
        let Some(pool) = pools.get(&old).filter(|_| !pools.contains_key(&new.id)) else { return };
        let pool = Pool {
            program: new.clone(),
            cpu_ms: pool.cpu_ms,
            used: self.used.of(new, &pool.share),
            share: pool.share.clone(),
            ready: Vec::new(),
            reusable: Vec::new(),
            sizing: pool.sizing,
            queued: true,
        };
        pools.insert(new.id, pool);
        self.wanted.borrow_mut().push_back(new.id);
        self.work.notify_one();
    }
}
