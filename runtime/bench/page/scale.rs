//! Where a value stands on an axis, and which values are written beside it.
//! Must never put a value outside the axis, whatever it is.

/// An axis from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scale {
    /// Microseconds, from one power of ten to another.
    Log {
        /// The lowest power.
        from: i32,
        /// The highest one, above the lowest.
        to: i32,
    },
    /// Shares, with as much room for each further nine.
    Nines {
        /// How many of them there is room for.
        most: i32,
    },
    /// Shares, evenly.
    Share,
}

impl Scale {
    /// Room for times from `least` to `most` microseconds.
    #[must_use]
    pub fn log(least: f64, most: f64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "powers of ten of a float")]
        let power = |us: f64| us.clamp(0.1, 1e9).log10().floor() as i32;
        let from = power(least);
        Self::Log { from, to: power(most).max(from) + 1 }
    }

    /// Room for shares up to this one.
    #[must_use]
    pub fn nines(deepest: f64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "at most six")]
        let most = nines(deepest).ceil().clamp(1.0, 6.0) as i32;
        Self::Nines { most }
    }

    /// Evenly from nothing to all.
    #[must_use]
    pub fn share() -> Self {
        Self::Share
    }

    /// Where the value stands, 0 to 1.
    #[must_use]
    pub fn place(&self, value: f64) -> f64 {
        let at = match *self {
            Self::Log { from, to } => {
                (value.max(f64::MIN_POSITIVE).log10() - f64::from(from)) / f64::from(to - from)
            }
            Self::Nines { most } => nines(value) / f64::from(most),
            Self::Share => value,
        };
        if at.is_nan() { 0.0 } else { at.clamp(0.0, 1.0) }
    }

    /// What is written beside the axis, and for which value.
    #[must_use]
    pub fn ticks(&self) -> Vec<(f64, String)> {
        match *self {
            Self::Log { from, to } => {
                (from..=to).map(|power| 10f64.powi(power)).map(|us| (us, time(us))).collect()
            }
            Self::Nines { most } => (0..=most).map(|nines| 1.0 - 10f64.powi(-nines)).map(percent).collect(),
            Self::Share => (0..=4).map(|step| percent(f64::from(step) / 4.0)).collect(),
        }
    }
}

/// How many nines a share has.
fn nines(share: f64) -> f64 {
    -(1.0 - share.clamp(0.0, 1.0)).max(1e-9).log10()
}

fn percent(share: f64) -> (f64, String) {
    // What a float cannot say exactly is not written.
    let percent = (share * 1e8).round() / 1e6;
    (share, format!("{percent}%"))
}

/// Microseconds for people.
fn time(us: f64) -> String {
    if us < 1e3 {
        format!("{us} us")
    } else if us < 1e6 {
        format!("{} ms", us / 1e3)
    } else {
        format!("{} s", us / 1e6)
    }
}
