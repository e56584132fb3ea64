//! Who waits for something, a line for each party, served in turns: however long one line is, the others move on.
//! Must never hold more than its bound, nor more in one line than a line may have.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

/// Lines of waiters.
#[derive(Debug)]
pub struct Turns<K, T> {
    lines: VecDeque<(K, VecDeque<(Ticket, T)>)>,
    waiting: usize,
    next: u64,
    /// In all, and in one line.
    most: (usize, usize),
}

/// One place in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(u64);

impl<K: PartialEq, T> Turns<K, T> {
    /// No lines yet. At most so many may wait in all, and in one line.
    #[must_use]
    pub fn new(most: (usize, usize)) -> Self {
        Self { lines: VecDeque::new(), waiting: 0, next: 0, most }
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// Goes to the end of this party's line, if there is room.
    pub fn push(&mut self, party: K, waiter: T) -> Option<Ticket> {
        let line = self.lines.iter_mut().find(|(own, _)| *own == party);
        let length = line.as_ref().map_or(0, |(_, line)| line.len());
        if self.waiting >= self.most.0 || length >= self.most.1 {
            return None;
        }
        let ticket = Ticket(self.next);
        self.next = self.next.wrapping_add(1);
        self.waiting += 1;
        match line {
            Some((_, line)) => line.push_back((ticket, waiter)),
            None => self.lines.push_back((party, VecDeque::from([(ticket, waiter)]))),
        }
        Some(ticket)
    }

    /// The first of the first line whose party `may` be served; that line goes behind the others.
    pub fn next(&mut self, may: impl Fn(&K) -> bool) -> Option<T> {
        let turn = self.lines.iter().position(|(party, _)| may(party))?;
        let (party, mut line) = self.lines.remove(turn)?;
        let served = line.pop_front();
        if !line.is_empty() {
            self.lines.push_back((party, line));
        }
        self.waiting -= usize::from(served.is_some());
        served.map(|(_, waiter)| waiter)
    }

    /// The first who `wants` this very thing, whoever's turn it is.
    pub fn first(&mut self, wants: impl Fn(&T) -> bool) -> Option<T> {
        let found = self.lines.iter().flat_map(|(_, line)| line).find(|(_, waiter)| wants(waiter));
        let ticket = found.map(|(ticket, _)| *ticket)?;
        self.leave(ticket)
    }

    /// Leaves the line.
    pub fn leave(&mut self, ticket: Ticket) -> Option<T> {
        for turn in 0..self.lines.len() {
            let (_, line) = &mut self.lines[turn];
            if let Some(place) = line.iter().position(|(own, _)| *own == ticket) {
                let left = line.remove(place);
                if line.is_empty() {
                    self.lines.remove(turn);
                }
                self.waiting -= usize::from(left.is_some());
                return left.map(|(_, waiter)| waiter);
            }
        }
        None
    }
}
