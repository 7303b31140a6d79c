//! Chance that can be had again: the same seed gives the same throws.

use std::ops::Range;
use std::time::Duration;

/// A generator of numbers that are random enough for tests (splitmix64, by Sebastiano Vigna).
#[derive(Clone, Debug)]
pub struct Dice {
    state: u64,
}

impl Dice {
    /// Those of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Others, of the same seed, for the one numbered `number`: their throws do not depend on who throws first.
    #[must_use]
    pub fn of(seed: u64, number: u64) -> Self {
        let mut dice = Self::new(seed ^ number.wrapping_mul(0xd6e8_feb8_6659_fd93));
        dice.throw();
        dice
    }

    /// 64 random bits.
    pub fn throw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 where that is 0.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.throw() % (end.max(1) as u64)).unwrap_or_default()
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of them.
    ///
    /// # Panics
    /// Where there is none.
    pub fn one_of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }

    /// A time in milliseconds within `range`.
    pub fn millis(&mut self, range: Range<usize>) -> Duration {
        let more = self.below(range.end - range.start);
        Duration::from_millis((range.start + more) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_throws_and_another_one_others() {
        let throws = |mut dice: Dice| [dice.throw(), dice.throw(), dice.throw()];
        assert_eq!(throws(Dice::of(7, 1)), throws(Dice::of(7, 1)));
        assert_ne!(throws(Dice::of(7, 1)), throws(Dice::of(7, 2)));
        assert_ne!(throws(Dice::of(7, 1)), throws(Dice::of(8, 1)));
    }

    #[test]
    fn every_side_comes_up_about_as_often() {
        let mut dice = Dice::new(1);
        let mut counts = [0_u32; 6];
        for _ in 0..6000 {
            counts[dice.below(6)] += 1;
        }
        assert!(
            counts.iter().all(|count| (800..1200).contains(count)),
            "{counts:?}"
        );
    }
}
