//! How far a measurement is, for whoever watches on a terminal. Must never write anything where nobody does.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::print;

/// How often it is drawn: drawing costs time on a machine that is being measured.
pub(super) const TICK: Duration = Duration::from_millis(200);

/// A bar, or nothing.
pub(super) struct Bar {
    bar: ProgressBar,
    start: Instant,
}

/// A bar that fills with time.
pub(super) fn timed(what: &str, lasts: Duration) -> anyhow::Result<Bar> {
    let length = u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX);
    bar(what, length, "{prefix:>14} {wide_bar} {msg} calls, {elapsed}")
}

/// A bar that fills with things done.
pub(super) fn counted(what: &str, length: u64) -> anyhow::Result<Bar> {
    bar(what, length, "{prefix:>14} {wide_bar} {pos} of {len}")
}

fn bar(what: &str, length: u64, template: &str) -> anyhow::Result<Bar> {
    let start = Instant::now();
    if !print::is_watched() {
        return Ok(Bar { bar: ProgressBar::hidden(), start });
    }
    let style = ProgressStyle::with_template(template)?;
    Ok(Bar { bar: ProgressBar::new(length).with_style(style).with_prefix(what.to_owned()), start })
}

impl Bar {
    /// Fills with the time that has passed, and says how many calls have ended.
    pub(super) fn at(&self, calls: u64) {
        self.bar.set_message(calls.to_string());
        self.bar.set_position(u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX));
    }

    /// One more is done.
    pub(super) fn one(&self) {
        self.bar.inc(1);
    }

    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }
}
