//! Who waits for something that is used piece by piece, a line for each party; whoever has used the least goes next.
//! Must never let a party save up while it wants nothing, nor forget what one owes while others still want something.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

/// Lines of waiters. As many as there are parties that want something or owe something.
#[derive(Debug)]
pub struct Fair<K, T> {
    lines: Vec<Line<K, T>>,
    /// What the one that had used the least of those that wanted something had used: where newcomers begin.
    floor: u64,
}

#[derive(Debug)]
struct Line<K, T> {
    party: K,
    /// What it has used, over its weight.
    used: u64,
    /// Pieces of it that are being done.
    running: u32,
    waiting: VecDeque<T>,
}

impl<K, T> Line<K, T> {
    fn wants(&self) -> bool {
        self.running > 0 || !self.waiting.is_empty()
    }
}

impl<K, T> Default for Fair<K, T> {
    fn default() -> Self {
        Self { lines: vec![], floor: 0 }
    }
}

impl<K: PartialEq, T> Fair<K, T> {
    /// Goes to the end of this party's line.
    pub fn push(&mut self, party: K, waiter: T) {
        let floor = self.floor;
        if let Some(line) = self.line(&party) {
            if !line.wants() {
                line.used = line.used.max(floor);
            }
            line.waiting.push_back(waiter);
        } else {
            let waiting = VecDeque::from([waiter]);
            self.lines.push(Line { party, used: floor, running: 0, waiting });
        }
    }

    /// The first waiter of the party that has used the least. Its piece is being done until [`Fair::ends`].
    pub fn take(&mut self) -> Option<T> {
        let waiting = self.lines.iter_mut().filter(|line| !line.waiting.is_empty());
        let line = waiting.min_by_key(|line| line.used)?;
        line.running += 1;
        line.waiting.pop_front()
    }

    /// A piece of this party's is done, and took that much; a party of twice the weight may take twice as much.
    pub fn ends(&mut self, party: &K, took: u64, weight: u32) {
        if let Some(line) = self.line(party) {
            line.running = line.running.saturating_sub(1);
            line.used = line.used.saturating_add(took / u64::from(weight.max(1)));
        }
        match self.lines.iter().filter(|line| line.wants()).map(|line| line.used).min() {
            Some(least) => {
                self.floor = self.floor.max(least);
                let floor = self.floor;
                self.lines.retain(|line| line.wants() || line.used > floor);
            }
            None => *self = Self::default(),
        }
    }

    fn line(&mut self, party: &K) -> Option<&mut Line<K, T>> {
        self.lines.iter_mut().find(|line| line.party == *party)
    }
}
