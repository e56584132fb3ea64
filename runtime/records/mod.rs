//! What calls leave behind: counts for each function, and bounded records of the failed ones and of a few good ones.
//! Must never make a call wait for more than one short lock, nor let one function, code or tenant push out another's.

mod book;
mod ledger;
mod record;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::model::name::{FunctionName, TenantName};
use crate::model::request_id::RequestId;

pub use book::{Bounds, Cursor, Page};
pub use ledger::{CODES, GOOD, Ledger, Totals};
pub use record::{Phases, Record, Spent, Use};

use book::Book;

/// The records of one process. In memory: they end with it.
#[derive(Clone)]
pub struct Records {
    book: Arc<Mutex<Book>>,
    since_ms: u64,
}

impl Default for Records {
    fn default() -> Self {
        Self { book: Arc::new(Mutex::new(Book::new(Bounds::default()))), since_ms: unix_ms() }
    }
}

/// Milliseconds since 1970.
#[must_use]
pub fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

fn locked(book: &Mutex<Book>) -> MutexGuard<'_, Book> {
    // A panic of another thread costs at most the record that it was about to keep.
    book.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Records {
    /// The ledger of a function that has none yet.
    #[must_use]
    pub fn open(&self, tenant: &TenantName, function: &FunctionName) -> Arc<Ledger> {
        Arc::new(Ledger::new(self.book.clone(), tenant.clone(), function.clone()))
    }

    /// Since when there are records and counts, in milliseconds since 1970.
    #[must_use]
    pub fn since_ms(&self) -> u64 {
        self.since_ms
    }

    /// The records of a request, one for each attempt that left any; the last one first.
    #[must_use]
    pub fn find(&self, id: RequestId) -> Vec<Arc<Record>> {
        let book = locked(&self.book);
        [2, 1].into_iter().filter_map(|attempt| book.find(id, attempt)).collect()
    }

    /// The records of a function: the newest of each code, then the others, newest first. Without `code`, all failures.
    #[must_use]
    pub fn page(
        &self,
        ledger: &Ledger,
        code: Option<&str>,
        after: Option<Cursor>,
        limit: usize,
    ) -> (Page, Option<Cursor>) {
        locked(&self.book).page(ledger.key(), code, after, limit)
    }

    /// Forgets a function that was removed; what it used stays in its tenant's sum.
    pub fn forget(&self, ledger: &Ledger) {
        let mut book = locked(&self.book);
        if ledger.close() {
            book.forget(ledger.key());
            book.retire(ledger.tenant(), ledger.totals());
        }
    }

    /// Forgets a tenant whose functions are forgotten.
    pub fn forget_tenant(&self, tenant: &TenantName) {
        locked(&self.book).forget_tenant(tenant);
    }

    /// What removed functions of a tenant had used.
    #[must_use]
    pub fn retired(&self, tenant: &TenantName) -> Totals {
        locked(&self.book).retired(tenant)
    }
}
