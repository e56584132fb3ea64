//! The text that `/metrics` is made of, in the format of Prometheus.
//! Must never be given a label that needs escaping: names of tenants, functions, codes and phases do not.

use std::fmt::{Display, Write as _};

/// Metrics in the making.
#[derive(Debug, Default)]
pub struct Text(String);

impl Text {
    /// Goes on after what was made elsewhere.
    #[must_use]
    pub fn after(text: String) -> Self {
        Self(text)
    }

    /// Begins a metric: its samples follow. `kind` is `counter`, `gauge` or `histogram`.
    pub fn metric(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string does not fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// One sample.
    pub fn sample<V: Display>(&mut self, name: &str, labels: &[(&str, &str)], value: V) {
        self.0.push_str(name);
        for (place, (label, value)) in labels.iter().enumerate() {
            let before = if place == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{before}{label}=\"{value}\"");
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{close} {value}");
    }

    /// All of it.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
}

/// Nanoseconds as seconds, exactly.
pub(super) struct Seconds(pub(super) u64);

impl Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:09}", self.0 / 1_000_000_000, self.0 % 1_000_000_000)
    }
}
