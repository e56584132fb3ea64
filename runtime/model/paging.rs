//! Who takes new memory, page after page, and how soon again: clearing a page and having one from the machine below stops a
//! core for everybody, at whatever priority. Pure, told what each slice has taken.
//! Must never hold up a party that takes little, nor remember one that has gone.

#[cfg(test)]
mod tests;

/// Bytes of a page.
const PAGE: u64 = 4_096;
/// Pages that a slice of a party takes, on average, from which on it takes much.
const MANY: u64 = 32;
/// A slice counts for one of so many.
const OF: u64 = 8;
/// What may be owed at most, in nanoseconds: slices of several threads, and of newcomers, end together.
const MOST_NS: u64 = 100_000_000;
/// Who has taken nothing for so long, in nanoseconds, has gone.
const GONE_NS: u64 = 1_000_000_000;

/// What parties have taken.
#[derive(Debug)]
pub struct Paging<K> {
    /// What a page costs, in nanoseconds; zero if they are free.
    page_ns: u64,
    /// When what was taken is paid.
    paid_ns: u64,
    parties: Vec<Party<K>>,
}

#[derive(Debug)]
struct Party<K> {
    name: K,
    /// Pages of a slice on average, times [`OF`].
    pages: u64,
    last_ns: u64,
}

impl<K: PartialEq> Paging<K> {
    /// All of them together may take so many bytes in a second; as many as they want where that is zero.
    #[must_use]
    pub fn new(bytes_per_second: u64) -> Self {
        let page_ns = (PAGE * 1_000_000_000).checked_div(bytes_per_second).unwrap_or(0);
        Self { page_ns, paid_ns: 0, parties: vec![] }
    }

    /// Whether pages cost anything.
    #[must_use]
    pub fn counts(&self) -> bool {
        self.page_ns > 0
    }

    /// Whether this party takes much, so that its next slice begins when what was taken [is paid](Self::paid_ns).
    pub fn takes_much(&self, name: &K) -> bool {
        self.parties.iter().any(|party| party.name == *name && party.pages >= MANY * OF)
    }

    /// When that is, on a clock of nanoseconds.
    #[must_use]
    pub fn paid_ns(&self) -> u64 {
        self.paid_ns
    }

    /// A slice of this party has ended now, and took so many pages.
    pub fn took(&mut self, name: K, pages: u64, now_ns: u64) {
        let owed_ns = pages.saturating_mul(self.page_ns);
        let most_ns = now_ns.saturating_add(MOST_NS);
        self.paid_ns = self.paid_ns.max(now_ns).saturating_add(owed_ns).min(most_ns);
        self.parties.retain(|party| now_ns.saturating_sub(party.last_ns) < GONE_NS);
        match self.parties.iter_mut().find(|party| party.name == name) {
            Some(party) => {
                party.pages = (party.pages - party.pages / OF).saturating_add(pages);
                party.last_ns = now_ns;
            }
            None if pages >= MANY => self.parties.push(Party { name, pages, last_ns: now_ns }),
            None => {}
        }
    }

    /// Nobody is there who would be held up.
    pub fn forget(&mut self) {
        self.paid_ns = 0;
        self.parties.clear();
    }
}
