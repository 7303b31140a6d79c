//! What one measurement has to say on the page.

use crate::error::BenchError;
use crate::stats::Times;

/// A heading with a table and a goal.
#[derive(Debug)]
pub struct Section {
    /// The heading.
    pub title: String,
    /// What is measured, and what its floor is.
    pub says: String,
    /// Each with its floor.
    pub rows: Vec<Row>,
    /// What was aimed at, each with whether it was reached.
    pub goals: Vec<Goal>,
    /// Whether times are left out, since they say nothing.
    pub only_ratios: bool,
}

impl Section {
    /// The same of guests on KVM, mostly that of an emulated processor.
    pub fn on_kvm(mut self) -> Self {
        self.title = format!("On KVM: {}", self.title);
        self.only_ratios = true;
        self
    }
}

/// A line of a table.
#[derive(Debug)]
pub struct Row {
    /// What.
    pub label: String,
    /// The figure, with its unit.
    pub median: String,
    /// Lowest and highest.
    pub spread: String,
    /// How often it was measured.
    pub runs: usize,
    /// To the floor; 1 for a floor.
    pub ratio: String,
}

/// What was aimed at.
#[derive(Debug)]
pub struct Goal {
    /// In words, with its figure.
    pub text: String,
    /// Whether it is reached.
    pub met: bool,
}

impl Row {
    /// A floor's times.
    pub fn floor(label: impl Into<String>, times: &Times) -> Self {
        Self::of(label.into(), times, "1".to_owned())
    }

    /// Times that stand beside a floor's.
    pub fn beside(label: impl Into<String>, times: &Times, floor: &Times) -> Self {
        Self::of(label.into(), times, ratio(times.ratio_to(floor)))
    }

    /// An amount of memory, looked at once.
    pub fn memory(label: impl Into<String>, bytes: u64) -> Self {
        Self {
            label: label.into(),
            median: mebibytes(bytes),
            spread: String::new(),
            runs: 1,
            ratio: String::new(),
        }
    }

    /// The same beside a floor.
    pub fn beside_memory(label: impl Into<String>, bytes: u64, floor: u64) -> Self {
        Self {
            ratio: ratio_of(bytes, floor),
            ..Self::memory(label, bytes)
        }
    }

    /// A ratio of two amounts that say nothing themselves.
    pub fn ratio(label: impl Into<String>, of: f64) -> Self {
        Self {
            label: label.into(),
            median: String::new(),
            spread: String::new(),
            runs: 1,
            ratio: ratio(of),
        }
    }

    fn of(label: String, times: &Times, ratio: String) -> Self {
        let unit = Unit::of(times);
        Self {
            label,
            median: unit.say(times.median().as_secs_f64(), true),
            spread: format!(
                "{} to {}",
                unit.say(times.least().as_secs_f64(), false),
                unit.say(times.most().as_secs_f64(), true)
            ),
            runs: times.runs(),
            ratio,
        }
    }
}

/// Times, unless nothing was measured.
pub fn times(measured: Vec<std::time::Duration>) -> Result<Times, BenchError> {
    Times::new(measured).ok_or_else(|| BenchError::Unexpected("no run was asked for".to_owned()))
}

/// What times are told in.
#[derive(Clone, Copy)]
enum Unit {
    Seconds,
    Milliseconds,
}

impl Unit {
    fn of(times: &Times) -> Self {
        if times.median().as_millis() < 1000 {
            Self::Milliseconds
        } else {
            Self::Seconds
        }
    }

    fn say(self, seconds: f64, with_unit: bool) -> String {
        let (figure, unit) = match self {
            Self::Seconds => (format!("{seconds:.2}"), " s"),
            Self::Milliseconds => (format!("{:.1}", seconds * 1e3), " ms"),
        };
        figure + if with_unit { unit } else { "" }
    }
}

/// A ratio, precise where it is small.
pub fn ratio(ratio: f64) -> String {
    format!("{ratio:.2}")
}

/// Whole megabytes.
#[expect(clippy::cast_precision_loss, reason = "a size in whole megabytes")]
pub fn megabytes(bytes: u64) -> String {
    format!("{:.0} MB", bytes as f64 / 1e6)
}

#[expect(clippy::cast_precision_loss, reason = "a ratio to a hundredth")]
fn ratio_of(bytes: u64, floor: u64) -> String {
    ratio(bytes as f64 / floor as f64)
}

#[expect(clippy::cast_precision_loss, reason = "a size to a tenth")]
fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn taken(milliseconds: &[u64]) -> Times {
        times(
            milliseconds
                .iter()
                .map(|time| Duration::from_millis(*time))
                .collect(),
        )
        .unwrap()
    }

    #[test]
    fn short_times_are_told_in_milliseconds_and_long_ones_in_seconds() {
        let row = Row::floor("short", &taken(&[4, 5, 6]));
        assert_eq!(
            (row.median.as_str(), row.spread.as_str()),
            ("5.0 ms", "4.0 to 6.0 ms")
        );
        let row = Row::beside("long", &taken(&[900, 1500, 2500]), &taken(&[1000]));
        assert_eq!(
            (row.median.as_str(), row.spread.as_str()),
            ("1.50 s", "0.90 to 2.50 s")
        );
        assert_eq!(row.ratio, "1.50");
    }
}
