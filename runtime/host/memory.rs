//! Memory and tables of one store as they grow, within its own limit and its tenant's account.
//! Must never decide what happens to the guest beyond "refuse this growth".

use std::sync::Arc;

use wasmtime::ResourceLimiter;

use super::Grant;
use super::account::Account;
use super::meter::Meter;

/// Bytes one table element takes on the host.
const TABLE_ELEMENT_BYTES: usize = 8;

/// What an instance takes of its tenant's account at once: most growths of tables then cost nothing.
const PIECE: usize = 64 << 10;

/// All memories and tables of one store, summed: wasmtime's own limits are for each one alone. What it took of its
/// tenant's account is given back when it is dropped.
#[derive(Debug)]
pub struct MemoryAccount {
    used: usize,
    /// Taken of the tenant's account; never less than `used`.
    taken: usize,
    limit: usize,
    table_elements: usize,
    meter: Arc<Meter>,
    account: Arc<Account>,
}

impl Drop for MemoryAccount {
    fn drop(&mut self) {
        self.account.shrink(self.taken as u64);
    }
}

impl MemoryAccount {
    /// An empty account.
    #[must_use]
    pub fn new(grant: &Grant, meter: Arc<Meter>) -> Self {
        Self {
            used: 0,
            taken: 0,
            limit: usize::try_from(grant.memory_bytes).unwrap_or(usize::MAX),
            table_elements: usize::try_from(grant.table_elements).unwrap_or(usize::MAX),
            meter,
            account: grant.account.clone(),
        }
    }

    /// Goes on for another call, with what the instance holds.
    pub fn renew(&mut self, meter: Arc<Meter>) {
        meter.holds(self.used);
        self.meter = meter;
    }

    /// Bytes of memories and tables.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used
    }

    fn grow(&mut self, current: usize, desired: usize) -> bool {
        let total = self.used.saturating_sub(current).saturating_add(desired);
        if total > self.limit {
            self.meter.refuses_bytes(total);
            return false;
        }
        if total > self.taken {
            let more = total.div_ceil(PIECE) * PIECE - self.taken;
            if !self.account.grow(more as u64) {
                self.meter.is_short_of_memory();
                return false;
            }
            self.taken += more;
        }
        self.used = total;
        self.meter.holds(total);
        true
    }
}

impl ResourceLimiter for MemoryAccount {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.grow(current, desired))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if desired > self.table_elements {
            self.meter.refuses_elements(desired);
            return Ok(false);
        }
        let bytes = |elements: usize| elements.saturating_mul(TABLE_ELEMENT_BYTES);
        Ok(self.grow(bytes(current), bytes(desired)))
    }
}
