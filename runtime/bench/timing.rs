//! What a server says of one answer: which start it was (`x-spawnpoint-start`) and what its phases took
//! (`server-timing`). Must never believe more of it than it understands: what is malformed counts as not said.

use std::time::Duration;

use http::HeaderMap;

use crate::model::outcome::Start;

/// The phases that are known, in the order in which they happen.
pub const PHASES: [&str; 6] = ["route", "queue", "load", "spawn", "lane", "guest"];
/// The starts that are known, the dearest first.
pub const STARTS: [Start; 5] = [Start::Cold, Start::Spawned, Start::Warm, Start::Reset, Start::Reused];

const START: &str = "x-spawnpoint-start";
const TIMING: &str = "server-timing";
/// A phase that took longer than this was not measured by anybody.
const LONGEST_MS: f64 = 86_400_000.0;

/// What each of [`PHASES`] took, as far as it was said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phases(pub [Option<Duration>; PHASES.len()]);

impl Phases {
    /// Reads one field of `server-timing` (W3C Server Timing, section 2). Of a phase that stands twice, the last counts.
    #[must_use]
    pub fn parse(field: &str) -> Self {
        let mut phases = Self::default();
        for metric in split(field, b',') {
            let mut parts = split(metric, b';');
            let name = parts.next().unwrap_or_default().trim();
            let Some(slot) = PHASES.iter().position(|phase| *phase == name) else { continue };
            let took = parts.find_map(duration);
            if let (Some(slot), Some(took)) = (phases.0.get_mut(slot), took) {
                *slot = Some(took);
            }
        }
        phases
    }

    /// What the head of an answer says. The platform's own field stands last: a guest can write one too.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let last = headers.get_all(TIMING).iter().next_back();
        last.and_then(|value| value.to_str().ok()).map(Self::parse).unwrap_or_default()
    }
}

/// Which start the head of an answer names.
#[must_use]
pub fn start_of(headers: &HeaderMap) -> Option<Start> {
    let word = headers.get(START)?;
    STARTS.into_iter().find(|start| word == start.as_str())
}

/// The milliseconds of `dur=MS`, also in quotes.
fn duration(parameter: &str) -> Option<Duration> {
    let (name, value) = parameter.split_once('=')?;
    if !name.trim().eq_ignore_ascii_case("dur") {
        return None;
    }
    let ms: f64 = value.trim().trim_matches('"').parse().ok()?;
    (0.0..=LONGEST_MS).contains(&ms).then(|| Duration::from_secs_f64(ms / 1e3))
}

/// The parts between separators that stand in no quoted string.
fn split(text: &str, separator: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let whole = rest?;
        let (mut quoted, mut escaped) = (false, false);
        let end = whole.bytes().position(|byte| {
            let is_escaped = std::mem::take(&mut escaped);
            match byte {
                b'\\' if quoted => escaped = !is_escaped,
                b'"' if !is_escaped => quoted = !quoted,
                _ => return byte == separator && !quoted,
            }
            false
        });
        // The separator is ASCII: both sides of it are whole characters.
        let (part, next) = match end {
            Some(end) => (whole.get(..end)?, whole.get(end + 1..)),
            None => (whole, None),
        };
        rest = next;
        Some(part)
    })
}
