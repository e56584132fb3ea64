//! What a run came to, in the shape that is printed as JSON and drawn as a page.
//! Must never leave out what makes a figure doubtful: that is said in the notes.

use std::collections::BTreeMap;

use serde::Serialize;

use super::load::{Measured, Plan};
use super::tally::{Failure, Group, Tally};
use super::times::{Point, Quantiles};
use super::timing::PHASES;

/// One run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What was called.
    pub url: String,
    /// The version of this program.
    pub client: String,
    /// Whether it was ended early.
    pub interrupted: bool,
    /// One load.
    pub load: Option<LoadReport>,
    /// Single calls: cold, spawned, warm.
    pub cold: Option<ColdReport>,
    /// Many functions against one.
    pub functions: Option<CrowdReport>,
    /// What a reader should know before believing a figure.
    pub notes: Vec<String>,
}

/// One load.
#[derive(Clone, Debug, Serialize)]
pub struct LoadReport {
    /// Calls a second that were due; none for a closed loop.
    pub rate: Option<f64>,
    /// Connections.
    pub connections: usize,
    /// How long it took.
    pub seconds: f64,
    /// Calls that went out.
    pub sent: u64,
    /// Answers of 200 to 299.
    pub answered: u64,
    /// Calls that ended otherwise.
    pub failed: u64,
    /// Answers of 200 to 299 in a second.
    pub answered_per_second: f64,
    /// Calls that went out more than a millisecond late, because no connection was free.
    pub delayed: u64,
    /// Calls that were due and never went out, because no connection was free.
    pub unsent: u64,
    /// Calls that nobody waited for any longer.
    pub unanswered: u64,
    /// Connections that the server had closed and that were opened again.
    pub reconnects: u64,
    /// Bytes of bodies.
    pub body_bytes: u64,
    /// From when a call was due (closed loop: from when it was sent) to its last byte.
    pub latency: Quantiles,
    /// Answers by the start that the server named.
    pub starts: Vec<StartReport>,
    /// What went wrong.
    #[serde(flatten)]
    pub failures: Failures,
    /// The load itself.
    pub generator: Generator,
    /// Drawn on the page.
    #[serde(skip)]
    pub curve: Vec<Point>,
}

/// What went wrong, and how often.
#[derive(Clone, Debug, Serialize)]
pub struct Failures {
    /// The most frequent first.
    pub failures: Vec<FailureCount>,
    /// The first one, in words.
    pub first_failure: Option<String>,
}

/// One kind of failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FailureCount {
    /// The answer's status, if there was an answer.
    pub status: Option<u16>,
    /// The platform's code, or the client's; empty for a function's own answer.
    pub code: String,
    /// How often.
    pub count: u64,
}

/// How the load itself fared.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Generator {
    /// How much of a core its thread took.
    pub busy: f64,
    /// How late it was with calls for which a connection was free.
    pub late: Quantiles,
    /// Whether that is enough to doubt the figures.
    pub was_late: bool,
}

/// Answers that named the same start.
#[derive(Clone, Debug, Serialize)]
pub struct StartReport {
    /// The server's word, or `unnamed`.
    pub start: &'static str,
    /// How many.
    pub count: u64,
    /// In the order in which they happen.
    pub phases: Vec<PhaseReport>,
    /// Drawn on the page.
    #[serde(skip)]
    pub curve: Vec<Point>,
}

/// One phase of such answers.
#[derive(Clone, Debug, Serialize)]
pub struct PhaseReport {
    /// A phase of the server's, or `first_byte` or `whole`.
    pub phase: &'static str,
    /// Whose clock: `server` or `client`.
    pub clock: &'static str,
    /// How long it took.
    #[serde(flatten)]
    pub took: Quantiles,
}

/// Single calls, each after something was dropped.
#[derive(Clone, Debug, Serialize)]
pub struct ColdReport {
    /// Calls of each kind that were asked for.
    pub calls_of_each: u64,
    /// What was dropped before a call, and what the server then said.
    pub asked: Vec<Asked>,
    /// By what the server said.
    pub starts: Vec<StartReport>,
    /// What went wrong.
    #[serde(flatten)]
    pub failures: Failures,
}

/// What the server said after one kind of drop.
#[derive(Clone, Debug, Serialize)]
pub struct Asked {
    /// `program`, `instances` or `nothing`.
    pub dropped: &'static str,
    /// Answers by the start they named.
    pub answered: BTreeMap<&'static str, u64>,
}

/// Many functions against one of them.
#[derive(Clone, Debug, Serialize)]
pub struct CrowdReport {
    /// The tenant that had them.
    pub tenant: String,
    /// How many there were.
    pub functions: usize,
    /// How many different modules they were made of.
    pub distinct_modules: usize,
    /// The exponent.
    pub zipf: f64,
    /// What it took to deploy them all.
    pub deploy_seconds: f64,
    /// The rate of all over the rate of one.
    pub relative_rate: f64,
    /// One function called.
    pub one: LoadReport,
    /// All called.
    pub all: LoadReport,
    /// Whether they are gone again.
    pub removed: bool,
}

/// From here on a load's thread may be what is measured.
const BUSY: f64 = 0.8;
/// From here on its clock may be.
const LATE_US: f64 = 1_000.0;

impl LoadReport {
    /// What came of a plan.
    #[must_use]
    pub fn new(plan: &Plan, measured: &Measured) -> Self {
        let Measured { tally, seconds, cpu_seconds } = measured;
        let busy = rounded(cpu_seconds / seconds.max(1e-9), 1e3);
        let late = tally.late.quantiles();
        Self {
            rate: plan.rate,
            connections: plan.connections,
            seconds: rounded(*seconds, 1e3),
            sent: tally.sent,
            answered: tally.answered,
            failed: tally.failed(),
            answered_per_second: rounded(count(tally.answered) / seconds.max(1e-9), 10.0),
            delayed: tally.delayed,
            unsent: tally.unsent,
            unanswered: tally.unanswered,
            reconnects: tally.reconnects,
            body_bytes: tally.bytes,
            latency: tally.latency.quantiles(),
            starts: starts(tally),
            failures: Failures::of(tally),
            generator: Generator { busy, late, was_late: busy > BUSY || late.p99_us > LATE_US },
            curve: tally.latency.curve(),
        }
    }

    /// What a reader should know of it; `what` names it.
    #[must_use]
    pub fn notes(&self, what: &str) -> Vec<String> {
        let mut notes = Vec::new();
        if self.generator.was_late {
            notes.push(format!(
                "{what}: the load itself was late (it took {:.0} % of a core and was up to {:.1} ms late in 99 of 100 \
                 calls): part of the latency is its own; give it a core or ask for less",
                self.generator.busy * 100.0,
                self.generator.late.p99_us / 1e3
            ));
        }
        if self.unsent > 0 {
            notes.push(format!(
                "{what}: {} calls were due and never sent, because all {} connections waited for answers; they count \
                 with the time they waited",
                self.unsent, self.connections
            ));
        }
        if self.rate.is_none() {
            notes.push(format!(
                "{what}: a closed loop asks a slow server less often, which makes its latency look better than it is; \
                 compare rates, or use --rate"
            ));
        }
        notes
    }
}

impl ColdReport {
    /// What came of single calls.
    #[must_use]
    pub fn new(calls_of_each: u64, asked: Vec<Asked>, tally: &Tally) -> Self {
        Self { calls_of_each, asked, starts: starts(tally), failures: Failures::of(tally) }
    }
}

impl ColdReport {
    /// What a reader should know of it.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let expected = [("program", "cold"), ("instances", "spawned")];
        let other = expected.into_iter().filter_map(|(dropped, expected)| {
            let asked = self.asked.iter().find(|asked| asked.dropped == dropped)?;
            let others: u64 =
                asked.answered.iter().filter(|(start, _)| **start != expected).map(|(_, count)| count).sum();
            (others > 0).then(|| {
                format!(
                    "cold: {others} calls after a drop of the {dropped} were not {expected}, because others call the \
                     function too; they count as what the server said they were"
                )
            })
        });
        other.collect()
    }
}

impl Failures {
    /// How many there were of all kinds.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.failures.iter().map(|failure| failure.count).sum()
    }

    fn of(tally: &Tally) -> Self {
        let mut failures: Vec<_> = tally
            .failures
            .iter()
            .map(|(Failure { status, code }, count)| FailureCount {
                status: *status,
                code: code.clone(),
                count: *count,
            })
            .collect();
        failures.sort_by_key(|failure| std::cmp::Reverse(failure.count));
        Self { failures, first_failure: tally.first_failure.clone() }
    }
}

fn starts(tally: &Tally) -> Vec<StartReport> {
    let report = |(start, group): (Option<&'static str>, &Group)| {
        let by_server = PHASES.iter().zip(&group.phases).filter_map(|(phase, times)| {
            let took = times.as_ref()?.quantiles();
            Some(PhaseReport { phase, clock: "server", took })
        });
        let by_client = [("first_byte", &group.first_byte), ("whole", &group.whole)]
            .map(|(phase, times)| PhaseReport { phase, clock: "client", took: times.quantiles() });
        StartReport {
            start: start.unwrap_or("unnamed"),
            count: group.whole.count(),
            phases: by_server.chain(by_client).collect(),
            curve: group.whole.curve(),
        }
    };
    tally.groups().map(report).collect()
}

/// A count as a number with a fraction.
#[expect(clippy::cast_precision_loss, reason = "fewer than 2^52")]
fn count(count: u64) -> f64 {
    count as f64
}

/// As many decimals as anybody reads.
pub(super) fn rounded(number: f64, per_one: f64) -> f64 {
    (number * per_one).round() / per_one
}
