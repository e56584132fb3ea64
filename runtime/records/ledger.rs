//! One function's ledger: what all its calls used, and which of them leave a record.
//! Must never take a lock for a call that leaves none, nor allocate for any but the first.

use std::ops::AddAssign;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock};

use super::book::Book;
use super::locked;
use super::record::Record;
use crate::model::name::{FunctionName, TenantName};

/// Counts of one function, and the way to its records.
pub struct Ledger {
    key: u64,
    tenant: TenantName,
    function: FunctionName,
    book: Arc<Mutex<Book>>,
    /// Of a function that was called; most are not, for hours.
    counts: OnceLock<Box<Counts>>,
    /// Whether the function is removed: a call that ends after that leaves nothing.
    closed: AtomicBool,
}

#[derive(Default)]
struct Counts {
    hot: Hot,
    failures: [Failures; CODES.len()],
}

/// What every call of the function writes, on a line of its own: threads pull it from each other once a call.
#[derive(Default)]
#[repr(align(128))]
struct Hot {
    good: AtomicU64,
    cpu_ns: AtomicU64,
    wall_ns: AtomicU64,
    /// The second of the last sampled good call, and one more: zero is never.
    sampled: AtomicU64,
}

/// Failures of one code.
#[derive(Default)]
struct Failures {
    count: AtomicU64,
    /// The second in which records were last left, and how many were.
    left: AtomicU64,
}

/// The code of a call that went well.
pub const GOOD: &str = "ok";

/// Every code of an outcome that is no good one.
pub const CODES: [&str; 15] = [
    "guest_trap",
    "cpu_limit",
    "timeout",
    "memory_limit",
    "memory_short",
    "overloaded",
    "no_response",
    "bad_response",
    "guest_error",
    "bad_request",
    "payload_too_large",
    "response_too_large",
    "client_gone",
    "host_error",
    // Of an outcome that is newer than this list; a test sees to it that there is none.
    "other",
];

/// One good call in so many is sampled, beginning with the first.
const SAMPLE: u64 = 1_024;
/// Failures of one code that leave a record in one second. More are counted, so that a storm costs what a count costs.
const LEFT_PER_SECOND: u64 = 128;
const SECOND_NS: u64 = 1_000_000_000;

/// What calls used, in sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Calls that went well.
    pub good: u64,
    /// Failures, in the order of [`CODES`].
    pub failures: [u64; CODES.len()],
    /// CPU time of all, in nanoseconds.
    pub cpu_ns: u64,
    /// Wall time of all, in nanoseconds.
    pub wall_ns: u64,
}

/// Where a code stands in [`CODES`].
fn place(code: &str) -> usize {
    CODES.iter().position(|each| *each == code).unwrap_or(CODES.len() - 1)
}

impl Ledger {
    pub(super) fn new(book: Arc<Mutex<Book>>, tenant: TenantName, function: FunctionName) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            key: NEXT.fetch_add(1, Relaxed),
            tenant,
            function,
            book,
            counts: OnceLock::new(),
            closed: AtomicBool::new(false),
        }
    }

    /// Never used twice in one process.
    #[must_use]
    pub(super) fn key(&self) -> u64 {
        self.key
    }

    /// Whose it is.
    #[must_use]
    pub fn tenant(&self) -> &TenantName {
        &self.tenant
    }

    /// Which function.
    #[must_use]
    pub fn function(&self) -> &FunctionName {
        &self.function
    }

    /// Counts a call that went well. Says whether it is one of the few that leave a record.
    #[must_use]
    pub fn good(&self, cpu_ns: u64, wall_ns: u64, now_ns: u64) -> bool {
        let hot = &self.counts().hot;
        let nth = hot.used(&hot.good, cpu_ns, wall_ns);
        if !nth.is_multiple_of(SAMPLE) {
            return false;
        }
        let second = now_ns / SECOND_NS + 1;
        hot.sampled.swap(second, Relaxed) != second
    }

    /// Counts a failure. Says whether it leaves a record.
    #[must_use]
    pub fn failed(&self, code: &str, cpu_ns: u64, wall_ns: u64, now_ns: u64) -> bool {
        let counts = self.counts();
        let Some(failures) = counts.failures.get(place(code)) else { return false };
        counts.hot.used(&failures.count, cpu_ns, wall_ns);
        // Two threads at once may count as one: then one record more is left, and nothing worse.
        let second = (now_ns / SECOND_NS) << 16;
        let seen = failures.left.load(Relaxed);
        let left = if seen & !0xffff == second { seen & 0xffff } else { 0 };
        let leaves = left < LEFT_PER_SECOND;
        if leaves {
            failures.left.store(second | (left + 1), Relaxed);
        }
        leaves
    }

    fn counts(&self) -> &Counts {
        self.counts.get_or_init(Box::default)
    }

    /// Keeps a record of one of this function's calls.
    pub fn keep(&self, mut record: Record) {
        record.fit();
        let record = Arc::new(record);
        let mut book = locked(&self.book);
        if !self.closed.load(Relaxed) {
            book.keep(self.key, record);
        }
    }

    /// Under the book's lock, so that no record comes after it. Says whether it was open.
    pub(super) fn close(&self) -> bool {
        !self.closed.swap(true, Relaxed)
    }

    /// What its calls used so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let Some(Counts { hot, failures }) = self.counts.get().map(|counts| &**counts) else {
            return Totals::default();
        };
        let mut totals = Totals {
            good: hot.good.load(Relaxed),
            cpu_ns: hot.cpu_ns.load(Relaxed),
            wall_ns: hot.wall_ns.load(Relaxed),
            ..Totals::default()
        };
        for (sum, failures) in totals.failures.iter_mut().zip(failures) {
            *sum = failures.count.load(Relaxed);
        }
        totals
    }
}

impl Hot {
    fn used(&self, count: &AtomicU64, cpu_ns: u64, wall_ns: u64) -> u64 {
        self.cpu_ns.fetch_add(cpu_ns, Relaxed);
        self.wall_ns.fetch_add(wall_ns, Relaxed);
        count.fetch_add(1, Relaxed)
    }
}

impl Totals {
    /// Guests that ran.
    #[must_use]
    pub fn invocations(&self) -> u64 {
        self.failures.iter().fold(self.good, |sum, count| sum.saturating_add(*count))
    }

    /// The codes that occurred, with their counts.
    pub fn by_code(&self) -> impl Iterator<Item = (&'static str, u64)> {
        CODES.into_iter().zip(self.failures).filter(|(_, count)| *count > 0)
    }
}

impl AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.good = self.good.saturating_add(other.good);
        self.cpu_ns = self.cpu_ns.saturating_add(other.cpu_ns);
        self.wall_ns = self.wall_ns.saturating_add(other.wall_ns);
        for (sum, count) in self.failures.iter_mut().zip(other.failures) {
            *sum = sum.saturating_add(count);
        }
    }
}
