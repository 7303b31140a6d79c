//! Repeated measurements of one thing.

use std::time::Duration;

/// Times of the same thing, in ascending order; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Times(Vec<Duration>);

impl Times {
    /// Takes what was measured, in any order. `None` if nothing was.
    pub fn new(mut times: Vec<Duration>) -> Option<Self> {
        times.sort_unstable();
        (!times.is_empty()).then_some(Self(times))
    }

    /// How often it was measured.
    pub fn runs(&self) -> usize {
        self.0.len()
    }

    /// Half of the runs took no longer; the mean of the two in the middle where their number is even.
    pub fn median(&self) -> Duration {
        let middle = self.0.len() / 2;
        if self.0.len() % 2 == 1 {
            self.0[middle]
        } else {
            (self.0[middle - 1] + self.0[middle]) / 2
        }
    }

    /// The fastest.
    pub fn least(&self) -> Duration {
        self.0[0]
    }

    /// The slowest.
    pub fn most(&self) -> Duration {
        self.0[self.0.len() - 1]
    }

    /// How many times the other's median this median is.
    pub fn ratio_to(&self, floor: &Self) -> f64 {
        self.median().as_secs_f64() / floor.median().as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(milliseconds: &[u64]) -> Times {
        Times::new(
            milliseconds
                .iter()
                .map(|time| Duration::from_millis(*time))
                .collect(),
        )
        .unwrap()
    }

    #[test]
    fn a_median_is_the_middle_whatever_the_order() {
        assert_eq!(times(&[30, 10, 20]).median(), Duration::from_millis(20));
        assert_eq!(times(&[40, 10, 30, 20]).median(), Duration::from_millis(25));
        assert_eq!(times(&[7]).median(), Duration::from_millis(7));
    }

    #[test]
    fn the_spread_is_from_the_fastest_to_the_slowest() {
        let times = times(&[30, 10, 20]);
        assert_eq!(
            (times.least(), times.most(), times.runs()),
            (Duration::from_millis(10), Duration::from_millis(30), 3)
        );
    }

    #[test]
    fn a_ratio_is_of_medians() {
        assert!((times(&[30, 10, 20]).ratio_to(&times(&[10, 10, 90])) - 2.0).abs() < 1e-9);
    }

    #[test]
    fn nothing_measured_has_no_times() {
        assert_eq!(Times::new(Vec::new()), None);
    }
}
