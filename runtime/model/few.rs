//! Of many pieces of work of one party a few are at it at once, in the order in which they came, so that the first ones end
//! before the last ones begin. Must never keep a party's next one waiting while it has fewer at it than it may.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// Who is at it, and who has yet to begin. As many parties as have any.
#[derive(Debug)]
pub struct Few<K, T> {
    /// How many of one party.
    most: usize,
    parties: HashMap<K, Line<T>>,
}

#[derive(Debug)]
struct Line<T> {
    at_it: usize,
    waiting: VecDeque<T>,
}

impl<K: Eq + Hash, T> Few<K, T> {
    /// Nobody has any. At most so many of one party begin before one of them ends, or waits for something else.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { most: most.max(1), parties: HashMap::new() }
    }

    /// A new one, which is given back if it may begin at once.
    pub fn comes(&mut self, party: K, piece: T) -> Option<T> {
        let most = self.most;
        let line = self.line(party);
        if line.at_it < most {
            line.at_it += 1;
            return Some(piece);
        }
        line.waiting.push_back(piece);
        None
    }

    /// One that had begun has what it waited for: it need not begin again, however many there are.
    pub fn goes_on(&mut self, party: K) {
        self.line(party).at_it += 1;
    }

    /// One that was at it has ended, or waits for something. Gives the one that begins instead.
    pub fn rests(&mut self, party: &K) -> Option<T> {
        let line = self.parties.get_mut(party)?;
        line.at_it = line.at_it.saturating_sub(1);
        let next = if line.at_it < self.most { line.waiting.pop_front() } else { None };
        if next.is_some() {
            line.at_it += 1;
        }
        if line.at_it == 0 {
            self.parties.remove(party);
        }
        next
    }

    /// Gives back one that has not begun and is not to.
    pub fn leaves(&mut self, party: &K, which: impl Fn(&T) -> bool) -> Option<T> {
        let line = self.parties.get_mut(party)?;
        let at = line.waiting.iter().position(which)?;
        line.waiting.remove(at)
    }

    fn line(&mut self, party: K) -> &mut Line<T> {
        self.parties.entry(party).or_insert_with(|| Line { at_it: 0, waiting: VecDeque::new() })
    }
}
