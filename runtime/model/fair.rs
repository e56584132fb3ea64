//! Who waits for something that is used piece by piece, a line for each party; whoever has used the least goes next.
//! Must never let a party save up while it wants nothing, nor have one wait for what it used while nobody else wanted it
//! for longer than `MOST` pieces of the others' use.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

/// How far a party falls behind at most, in pieces of a party of weight one: more than a piece takes, so that it
/// is paid back. Use of what would have been idle is counted like any other, and would otherwise add up without end.
const MOST: u64 = 50;

/// Lines of waiters. As many as there are parties that want something or owe something.
#[derive(Debug)]
pub struct Fair<K, T> {
    /// What a piece counts for until it has ended, in nanoseconds: or one party would be given everything before the first of
    /// its pieces counts.
    piece_ns: u64,
    lines: Vec<Line<K, T>>,
    /// What the one that had used the least of those that wanted something had used: where newcomers begin.
    floor_ns: u64,
    /// Pieces given to anybody.
    given: u64,
}

#[derive(Debug)]
struct Line<K, T> {
    party: K,
    weight: u64,
    /// What it has used, over its weight.
    used_ns: u64,
    /// Pieces of it that are being done.
    running: u64,
    /// None of its waiters might go on when that was asked last: it keeps nobody back, and saves nothing up.
    held: bool,
    /// How many pieces had been given to anybody when it was given its last one, or came: of two that have used as much, whoever waits
    /// longer is next.
    last: u64,
    waiting: VecDeque<T>,
}

impl<K, T> Line<K, T> {
    fn wants(&self) -> bool {
        self.running > 0 || !self.waiting.is_empty()
    }

    /// Whether it would go on, and may.
    fn competes(&self) -> bool {
        self.running > 0 || !self.waiting.is_empty() && !self.held
    }

    /// What it has used, with what it is about to.
    fn claim_ns(&self, piece_ns: u64) -> u64 {
        self.used_ns.saturating_add(self.running * piece_ns / self.weight)
    }
}

impl<K: PartialEq, T> Fair<K, T> {
    /// Nobody wants anything yet. A piece takes about so long.
    #[must_use]
    pub fn new(piece_ns: u64) -> Self {
        Self { piece_ns, lines: vec![], floor_ns: 0, given: 0 }
    }

    /// Goes to the end of this party's line. A party of twice the weight may use twice as much.
    pub fn push(&mut self, (party, weight): (K, u32), waiter: T) {
        let (floor_ns, given, weight) = (self.floor_ns, self.given, u64::from(weight.max(1)));
        if let Some(line) = self.line(&party) {
            if !line.wants() {
                line.used_ns = line.used_ns.max(floor_ns);
            }
            line.weight = weight;
            line.waiting.push_back(waiter);
        } else {
            let waiting = VecDeque::from([waiter]);
            self.lines.push(Line {
                party,
                weight,
                used_ns: floor_ns,
                running: 0,
                held: false,
                last: given,
                waiting,
            });
        }
    }

    /// The first waiter of the party that has used the least. Its piece is being done until [`Fair::ends`].
    pub fn take(&mut self) -> Option<T> {
        self.take_if(|_, _| true)
    }

    /// The same, of those that may go on now.
    pub fn take_if(&mut self, may: impl Fn(&K, &T) -> bool) -> Option<T> {
        let floor_ns = self.floor_ns;
        let waiting = self.lines.iter_mut().filter(|line| !line.waiting.is_empty());
        let ready = waiting.filter_map(|line| {
            let first = line.waiting.iter().position(|waiter| may(&line.party, waiter));
            if line.held && first.is_some() {
                line.used_ns = line.used_ns.max(floor_ns);
            }
            line.held = first.is_none();
            Some((first?, line))
        });
        let (first, line) = ready.min_by_key(|(_, line)| (line.claim_ns(self.piece_ns), line.last))?;
        self.given += 1;
        (line.running, line.last) = (line.running + 1, self.given);
        line.waiting.remove(first)
    }

    /// The parties that have somebody wait.
    pub fn waiting(&self) -> impl Iterator<Item = &K> {
        self.lines.iter().filter(|line| !line.waiting.is_empty()).map(|line| &line.party)
    }

    /// A piece of this party's is done, and used that much.
    pub fn ends(&mut self, party: &K, used_ns: u64) {
        if let Some(line) = self.line(party) {
            line.running = line.running.saturating_sub(1);
            line.used_ns = line.used_ns.saturating_add(used_ns / line.weight);
        }
        if self.lines.iter().all(|line| !line.wants()) {
            *self = Self::new(self.piece_ns);
            return;
        }
        if let Some(least) = self.lines.iter().filter(|line| line.competes()).map(|line| line.used_ns).min() {
            self.floor_ns = self.floor_ns.max(least);
        }
        let (floor_ns, most_ns) = (self.floor_ns, self.floor_ns.saturating_add(MOST * self.piece_ns));
        self.lines.retain(|line| line.wants() || line.used_ns > floor_ns);
        for line in &mut self.lines {
            line.used_ns = line.used_ns.min(most_ns);
        }
    }

    fn line(&mut self, party: &K) -> Option<&mut Line<K, T>> {
        self.lines.iter_mut().find(|line| line.party == *party)
    }
}
