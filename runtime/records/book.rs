//! Which records are kept: the newest of each function and code, within one bound of bytes shared fairly by tenants.
//! Pure: must never read a clock, wait, or do more for one record than what its own bounds allow.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::ledger::{GOOD, Totals};
use super::record::Record;
use crate::model::name::TenantName;
use crate::model::request_id::RequestId;

/// All records.
pub(super) struct Book {
    bounds: Bounds,
    functions: HashMap<u64, Kept>,
    /// Where the record of each attempt at a request is.
    places: HashMap<(RequestId, u8), Place>,
    /// Functions with records: by tenant, the one that has not got any for the longest time first.
    coldest: BTreeSet<(TenantName, u64, u64)>,
    tenants: HashMap<TenantName, usize>,
    /// The same by bytes: the last one pays when there is no more room.
    largest: BTreeSet<(usize, TenantName)>,
    bytes: usize,
    next: u64,
    retired: HashMap<TenantName, Totals>,
}

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Records of one code of one function.
    pub per_code: usize,
    /// Bytes of all records.
    pub bytes: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { per_code: 32, bytes: 64 << 20 }
    }
}

/// The records of one function.
struct Kept {
    tenant: TenantName,
    rings: Vec<(&'static str, Ring)>,
    touched: u64,
}

/// The records of one code, oldest first, each with its number.
type Ring = VecDeque<(u64, Arc<Record>)>;

#[derive(Clone, Copy)]
struct Place {
    function: u64,
    code: &'static str,
    number: u64,
}

/// Records of one page.
pub type Page = Vec<Arc<Record>>;

/// Where a page ended: among the newest of each code or among the others, and at which number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    others: bool,
    number: u64,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.others { 'o' } else { 'n' }, self.number)
    }
}

/// What is no cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a cursor is `n` or `o` and a number")]
pub struct NoCursor;

impl FromStr for Cursor {
    type Err = NoCursor;

    fn from_str(text: &str) -> Result<Self, NoCursor> {
        let (others, number) = match (text.strip_prefix('n'), text.strip_prefix('o')) {
            (Some(number), _) => (false, number),
            (_, Some(number)) => (true, number),
            _ => return Err(NoCursor),
        };
        Ok(Self { others, number: number.parse().map_err(|_| NoCursor)? })
    }
}

impl Book {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            functions: HashMap::new(),
            places: HashMap::new(),
            coldest: BTreeSet::new(),
            tenants: HashMap::new(),
            largest: BTreeSet::new(),
            bytes: 0,
            next: 0,
            retired: HashMap::new(),
        }
    }

    pub(super) fn find(&self, id: RequestId, attempt: u8) -> Option<Arc<Record>> {
        let Place { function, code, number } = *self.places.get(&(id, attempt))?;
        let ring = self.functions.get(&function)?.ring(code)?;
        let at = ring.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        ring.get(at).map(|(_, record)| record.clone())
    }

    /// Adds a record, at the expense of older ones.
    pub(super) fn keep(&mut self, function: u64, record: Arc<Record>) {
        let (number, id, code) = (self.next, (record.id, record.attempt), record.code);
        let (tenant, bytes) = (record.tenant.clone(), record.bytes());
        self.next += 1;
        let kept = self.functions.entry(function).or_insert_with(|| Kept {
            tenant: tenant.clone(),
            rings: Vec::new(),
            touched: number,
        });
        self.coldest.remove(&(tenant.clone(), kept.touched, function));
        kept.touched = number;
        self.coldest.insert((tenant.clone(), number, function));
        let ring = kept.ring_mut(code);
        ring.push_back((number, record));
        let oldest = if ring.len() > self.bounds.per_code { ring.pop_front() } else { None };
        self.places.insert(id, Place { function, code, number });
        self.charge(&tenant, bytes, 0);
        if let Some((number, record)) = oldest {
            self.gone(number, &record);
        }
        while self.bytes > self.bounds.bytes && self.shrink(function) {}
    }

    /// Makes room at the expense of the tenant that has the most: its coldest function goes, or, if that is the one that
    /// was just written, its oldest record. Says whether there was anything.
    fn shrink(&mut self, written: u64) -> bool {
        let Some((_, tenant)) = self.largest.last().cloned() else { return false };
        let first = (tenant.clone(), 0, 0);
        let Some(coldest) = self.coldest.range(first..).next().map(|(.., function)| *function) else {
            return false;
        };
        if coldest != written {
            self.forget(coldest);
            return true;
        }
        let Some(kept) = self.functions.get_mut(&coldest) else { return false };
        let longest = kept.rings.iter_mut().max_by_key(|(_, ring)| ring.len());
        let Some((number, record)) = longest.and_then(|(_, ring)| ring.pop_front()) else { return false };
        let is_empty = kept.rings.iter().all(|(_, ring)| ring.is_empty());
        self.gone(number, &record);
        if is_empty {
            self.forget(coldest);
        }
        true
    }

    /// Takes a record that left its ring off the books.
    fn gone(&mut self, number: u64, record: &Record) {
        let id = (record.id, record.attempt);
        if self.places.get(&id).is_some_and(|place| place.number == number) {
            self.places.remove(&id);
        }
        self.charge(&record.tenant, 0, record.bytes());
    }

    fn charge(&mut self, tenant: &TenantName, more: usize, less: usize) {
        self.bytes = self.bytes.saturating_add(more).saturating_sub(less);
        let was = self.tenants.get(tenant).copied().unwrap_or(0);
        let is = was.saturating_add(more).saturating_sub(less);
        self.largest.remove(&(was, tenant.clone()));
        if is == 0 {
            self.tenants.remove(tenant);
        } else {
            self.tenants.insert(tenant.clone(), is);
            self.largest.insert((is, tenant.clone()));
        }
    }

    /// Forgets a function.
    pub(super) fn forget(&mut self, function: u64) {
        let Some(kept) = self.functions.remove(&function) else { return };
        self.coldest.remove(&(kept.tenant.clone(), kept.touched, function));
        for (number, record) in kept.rings.iter().flat_map(|(_, ring)| ring) {
            self.gone(*number, record);
        }
    }

    /// Adds what a removed function had used to its tenant's sum.
    pub(super) fn retire(&mut self, tenant: &TenantName, used: Totals) {
        *self.retired.entry(tenant.clone()).or_default() += used;
    }

    pub(super) fn retired(&self, tenant: &TenantName) -> Totals {
        self.retired.get(tenant).copied().unwrap_or_default()
    }

    pub(super) fn forget_tenant(&mut self, tenant: &TenantName) {
        self.retired.remove(tenant);
    }

    /// The newest of each code, then the others; each part newest first.
    pub(super) fn page(
        &self,
        function: u64,
        code: Option<&str>,
        after: Option<Cursor>,
        limit: usize,
    ) -> (Page, Option<Cursor>) {
        let rings = self.functions.get(&function).map(|kept| kept.rings.as_slice()).unwrap_or_default();
        let wanted = |of: &str| code.map_or(of != GOOD, |code| code == of);
        let mut found: Vec<_> = rings
            .iter()
            .filter(|(of, _)| wanted(of))
            .flat_map(|(_, ring)| ring.iter().rev().enumerate())
            .map(|(nth, (number, record))| (Cursor { others: nth > 0, number: *number }, record))
            .collect();
        let order = |at: &Cursor| (at.others, std::cmp::Reverse(at.number));
        found.sort_unstable_by_key(|(at, _)| order(at));
        found.retain(|(at, _)| after.is_none_or(|after| order(&after) < order(at)));
        let more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| more).map(|(at, _)| *at);
        (found.into_iter().map(|(_, record)| record.clone()).collect(), next)
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Kept {
    fn ring(&self, code: &str) -> Option<&Ring> {
        self.rings.iter().find(|(of, _)| *of == code).map(|(_, ring)| ring)
    }

    fn ring_mut(&mut self, code: &'static str) -> &mut Ring {
        let at = self.rings.iter().position(|(of, _)| *of == code).unwrap_or_else(|| {
            self.rings.push((code, Ring::new()));
            self.rings.len() - 1
        });
        &mut self.rings[at].1
    }
}
