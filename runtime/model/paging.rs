//! Who takes new memory, page after page, and how soon again: clearing a page and having one from the machine below stops a
//! core for everybody, at whatever priority. Pure, told what each slice has taken.
//! Must never hold up a party for what another has taken, nor remember one that has paid.

#[cfg(test)]
mod tests;

/// Bytes of a page.
const PAGE: u64 = 4_096;
/// What may be owed without a wait, in nanoseconds.
const FREE_NS: u64 = 8_000_000;
/// What may be owed at all: what is beyond is forgiven, and nobody waits for longer.
const MOST_NS: u64 = 1_000_000_000;

/// What parties owe for what they have taken.
#[derive(Debug)]
pub struct Paging<K> {
    /// What a page costs, in nanoseconds; zero if they are free.
    page_ns: u64,
    debtors: Vec<Debtor<K>>,
}

#[derive(Debug)]
struct Debtor<K> {
    party: K,
    weight: u64,
    /// When it has paid.
    paid_ns: u64,
}

impl<K: PartialEq> Paging<K> {
    /// All of them together may take so many bytes in a second; as many as they want where that is zero.
    #[must_use]
    pub fn new(bytes_per_second: u64) -> Self {
        let page_ns = (PAGE * 1_000_000_000).checked_div(bytes_per_second).unwrap_or(0);
        Self { page_ns, debtors: vec![] }
    }

    /// Whether pages cost anything.
    #[must_use]
    pub fn counts(&self) -> bool {
        self.page_ns > 0
    }

    /// From when on this party may go on, on a clock of nanoseconds.
    #[must_use]
    pub fn due_ns(&self, party: &K) -> u64 {
        let debtor = self.debtors.iter().find(|debtor| debtor.party == *party);
        debtor.map_or(0, |debtor| debtor.paid_ns.saturating_sub(FREE_NS))
    }

    /// A slice of this party, of this weight, has ended now and took so many pages. Those that owe something at the same time share what
    /// all may take by their weights.
    pub fn took(&mut self, (party, weight): (K, u32), pages: u64, now_ns: u64) {
        self.debtors.retain(|debtor| debtor.paid_ns > now_ns);
        let weight = u64::from(weight.max(1));
        let others = self.debtors.iter().filter(|debtor| debtor.party != party);
        let all = others.map(|debtor| debtor.weight).sum::<u64>() + weight;
        let owed_ns = pages.saturating_mul(self.page_ns).saturating_mul(all) / weight;
        let most_ns = now_ns.saturating_add(MOST_NS);
        if let Some(debtor) = self.debtors.iter_mut().find(|debtor| debtor.party == party) {
            debtor.weight = weight;
            debtor.paid_ns = debtor.paid_ns.saturating_add(owed_ns).min(most_ns);
        } else if owed_ns > 0 {
            let paid_ns = now_ns.saturating_add(owed_ns).min(most_ns);
            self.debtors.push(Debtor { party, weight, paid_ns });
        }
    }

    /// Nobody is there who would be held up. Tells whether anybody owed anything.
    pub fn forget(&mut self) -> bool {
        let owed = !self.debtors.is_empty();
        self.debtors.clear();
        owed
    }
}
