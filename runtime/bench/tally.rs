//! What the calls of one load came to: answers by the start that the server named, failures by status and code, what
//! was not sent in time. Must never drop a wait: a call that was never answered counts with the time it has waited.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::CreationError;

use super::caller::{Answer, CallError};
use super::times::Times;
use super::timing::{PHASES, Phases, STARTS};

/// Counters and times; those of several loads can be merged.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Of calls that were answered well, and waits of those that were not answered at all: from when a call was due to
    /// its last byte.
    pub latency: Times,
    /// How late the load's own clock and thread were with each call.
    pub late: Times,
    /// Calls that went out.
    pub sent: u64,
    /// Answers of 200 to 299, whole.
    pub answered: u64,
    /// Bytes of the bodies of all answers.
    pub bytes: u64,
    /// Calls that were due and went out more than a millisecond later, because no connection was free.
    pub delayed: u64,
    /// Calls that were due and never went out, because no connection was free.
    pub unsent: u64,
    /// Calls that were under way when the load was cut off.
    pub unanswered: u64,
    /// Connections that were opened again because the server had closed them.
    pub reconnects: u64,
    /// How often each failure was met.
    pub failures: BTreeMap<Failure, u64>,
    /// The first one, in words.
    pub first_failure: Option<String>,
    /// Times by start: [`STARTS`], and last the answers that named none.
    groups: [Option<Group>; STARTS.len() + 1],
    blank: Times,
}

/// A kind of failure: a status with the platform's code, or what happened instead of an answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Failure {
    /// The answer's status, if there was an answer.
    pub status: Option<u16>,
    /// What the platform called it; what the client calls it, if there was no answer; empty for a guest's own status.
    pub code: String,
}

/// The times of answers that named the same start.
#[derive(Clone, Debug)]
pub struct Group {
    /// By the server's clock, in the order of [`PHASES`]; those that it never named are left out.
    pub phases: [Option<Times>; PHASES.len()],
    /// By the client's clock, from sending to the head of the answer.
    pub first_byte: Times,
    /// By the client's clock, from when the call was due to its last byte.
    pub whole: Times,
}

/// What one answer took.
#[derive(Clone, Copy, Debug)]
pub struct Took {
    /// From sending to the head.
    pub first_byte: Duration,
    /// From when it was due to the last byte.
    pub whole: Duration,
}

/// Kinds of failures that are told apart.
const KINDS: usize = 64;
/// Characters of a code.
const CODE: usize = 64;

impl Tally {
    /// Nothing yet.
    ///
    /// # Errors
    /// Never with the bounds of [`Times`].
    pub fn new() -> Result<Self, CreationError> {
        let blank = Times::new()?;
        Ok(Self {
            latency: blank.clone(),
            late: blank.clone(),
            sent: 0,
            answered: 0,
            bytes: 0,
            delayed: 0,
            unsent: 0,
            unanswered: 0,
            reconnects: 0,
            failures: BTreeMap::new(),
            first_failure: None,
            groups: Default::default(),
            blank,
        })
    }

    /// Counts an answer.
    pub fn answer(&mut self, answer: &Answer, took: Took) {
        self.sent += 1;
        self.bytes += answer.bytes;
        if !(200..300).contains(&answer.status) {
            let code = answer.code.clone().unwrap_or_default();
            let text = if code.is_empty() { String::new() } else { format!(" {code}") };
            let first = format!("status {}{text}", answer.status);
            self.fail(Failure { status: Some(answer.status), code }, first);
            return;
        }
        self.answered += 1;
        self.latency.record(took.whole);
        let slot = STARTS.iter().position(|start| Some(*start) == answer.start).unwrap_or(STARTS.len());
        let blank = &self.blank;
        let Some(group) = self.groups.get_mut(slot) else { return };
        group.get_or_insert_with(|| Group::blank(blank)).note((&answer.phases, took), blank);
    }

    /// Counts a call without an answer, after this wait.
    pub fn error(&mut self, error: &CallError, waited: Duration) {
        self.sent += 1;
        if let CallError::Timeout(_) = error {
            self.latency.record(waited);
        }
        self.fail(Failure { status: None, code: error.code().to_owned() }, error.in_words());
    }

    /// Counts a call that was under way for so long when nobody waited any longer.
    pub fn cut(&mut self, waited: Duration) {
        self.sent += 1;
        self.unanswered += 1;
        self.latency.record(waited);
    }

    /// The answers by start; `None` for those that named none.
    pub fn groups(&self) -> impl Iterator<Item = (Option<&'static str>, &Group)> {
        let names = STARTS.iter().map(|start| Some(start.as_str())).chain([None]);
        names.zip(&self.groups).filter_map(|(name, group)| Some((name, group.as_ref()?)))
    }

    /// Calls that were not answered well.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failures.values().sum::<u64>() + self.unanswered
    }

    /// Adds all of another.
    pub fn merge(&mut self, other: &Self) {
        self.latency.merge(&other.latency);
        self.late.merge(&other.late);
        self.sent += other.sent;
        self.answered += other.answered;
        self.bytes += other.bytes;
        self.delayed += other.delayed;
        self.unsent += other.unsent;
        self.unanswered += other.unanswered;
        self.reconnects += other.reconnects;
        for (failure, count) in &other.failures {
            *self.kind(failure.clone()) += count;
        }
        if self.first_failure.is_none() {
            self.first_failure.clone_from(&other.first_failure);
        }
        for (own, others) in self.groups.iter_mut().zip(&other.groups) {
            match (own, others) {
                (Some(own), Some(others)) => own.merge(others),
                (own @ None, Some(others)) => *own = Some(others.clone()),
                (_, None) => {}
            }
        }
    }

    fn fail(&mut self, failure: Failure, first: String) {
        *self.kind(failure) += 1;
        self.first_failure.get_or_insert(first);
    }

    /// The counter of a kind of failure; of too many kinds, that of all others.
    fn kind(&mut self, mut failure: Failure) -> &mut u64 {
        failure.code = failure.code.chars().take(CODE).collect();
        if self.failures.len() >= KINDS && !self.failures.contains_key(&failure) {
            failure = Failure { status: None, code: "others".to_owned() };
        }
        self.failures.entry(failure).or_insert(0)
    }
}

impl Group {
    fn blank(blank: &Times) -> Self {
        Self { phases: Default::default(), first_byte: blank.clone(), whole: blank.clone() }
    }

    fn note(&mut self, (phases, took): (&Phases, Took), blank: &Times) {
        for (times, phase) in self.phases.iter_mut().zip(phases.0) {
            if let Some(phase) = phase {
                times.get_or_insert_with(|| blank.clone()).record(phase);
            }
        }
        self.first_byte.record(took.first_byte);
        self.whole.record(took.whole);
    }

    fn merge(&mut self, others: &Self) {
        for (own, others) in self.phases.iter_mut().zip(&others.phases) {
            match (own, others) {
                (Some(own), Some(others)) => own.merge(others),
                (own @ None, Some(others)) => *own = Some(others.clone()),
                (_, None) => {}
            }
        }
        self.first_byte.merge(&others.first_byte);
        self.whole.merge(&others.whole);
    }
}
