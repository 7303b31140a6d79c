//! Hostile input, without end: what is good is mutated at random.
//!
//! This needs no special compiler and is told nothing of what an input reaches; what it has found is kept as a corpus.
//! `BANGER_FUZZ_SECONDS` is how long each target runs, `BANGER_SEED` what chance goes by; with `BANGER_FUZZ_INPUT` the
//! only input is that file.

use std::collections::VecDeque;
use std::fs;
use std::time::{Duration, Instant, SystemTime};

use crate::Dice;

/// How long a target runs in the suite.
const SHORT: Duration = Duration::from_secs(2);
/// Longest input in bytes, about.
const LONGEST: usize = 128 << 10;
/// How many mutations an input has, at most.
const MUTATIONS: usize = 5;
/// Bytes that mean something in one format or another.
const TELLING: &[u8] = b"\0\x01\x02\x7f\x80\xfe\xff 09aZ/.:\"{}[]\\\r\n%;,=-";
/// Numbers at the edges.
const EDGES: [u32; 9] = [
    0,
    1,
    0x7f,
    0xff,
    0xffff,
    0x10000,
    0x7fff_ffff,
    0x8000_0000,
    u32::MAX,
];

/// The inputs of one target: first the good ones as they are, then mutated ones until the time is over.
///
/// The last inputs before a test panics are written to files, whose names are printed; the newest is number 0.
#[derive(Debug)]
pub struct Fuzz {
    target: &'static str,
    seeds: Vec<Vec<u8>>,
    dice: Dice,
    given: usize,
    until: Instant,
    last: VecDeque<Vec<u8>>,
}

impl Fuzz {
    /// How many inputs a target may have at hand at once, so that the one at fault is kept.
    pub const AT_ONCE: usize = 16;

    /// Inputs for the target of this name, made from good ones.
    ///
    /// # Panics
    /// Without any, or where a variable is no number.
    #[must_use]
    pub fn of(target: &'static str, seeds: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Self {
        let mut seeds: Vec<_> = seeds.into_iter().map(|seed| seed.as_ref().to_vec()).collect();
        let only = std::env::var_os("BANGER_FUZZ_INPUT");
        if let Some(input) = &only {
            seeds = vec![fs::read(input).unwrap_or_else(|error| panic!("{input:?}: {error}"))];
        }
        assert!(!seeds.is_empty(), "{target} has nothing to begin with");
        let number = |name| {
            let text = std::env::var(name).ok()?;
            Some(
                text.parse::<u64>()
                    .unwrap_or_else(|_| panic!("{name}: `{text}` is no number")),
            )
        };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = now.map_or(0, |now| now.as_nanos() as u64);
        let length = match only {
            Some(_) => Duration::ZERO,
            None => number("BANGER_FUZZ_SECONDS").map_or(SHORT, Duration::from_secs),
        };
        Self {
            target,
            seeds,
            dice: Dice::new(number("BANGER_SEED").unwrap_or(now)),
            given: 0,
            until: Instant::now() + length,
            last: VecDeque::new(),
        }
    }

    fn mutated(&mut self) -> Vec<u8> {
        let dice = &mut self.dice;
        if dice.once_in(20) {
            let length = dice.below(600);
            return (0..length).map(|_| dice.throw() as u8).collect();
        }
        let mut bytes = dice.one_of(&self.seeds).clone();
        for _ in 0..=dice.below(MUTATIONS) {
            mutate(&mut bytes, &self.seeds, dice);
        }
        bytes.truncate(LONGEST);
        bytes
    }
}

impl Iterator for Fuzz {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let good = self.seeds.get(self.given).cloned();
        if good.is_none() && Instant::now() >= self.until {
            return None;
        }
        self.given += 1;
        let input = good.unwrap_or_else(|| self.mutated());
        if self.last.len() == Self::AT_ONCE {
            self.last.pop_front();
        }
        self.last.push_back(input.clone());
        Some(input)
    }
}

impl Drop for Fuzz {
    fn drop(&mut self) {
        println!("{}: {} inputs", self.target, self.given);
        if !std::thread::panicking() {
            return;
        }
        for (number, input) in self.last.iter().rev().enumerate() {
            let file = format!("fuzz-{}-{}-{number}", self.target, std::process::id());
            let path = std::env::temp_dir().join(file);
            match fs::write(&path, input) {
                Ok(()) => println!("{}: an input is in {}", self.target, path.display()),
                Err(error) => println!("{}: an input, not kept ({error}): {input:?}", self.target),
            }
        }
    }
}

fn mutate(bytes: &mut Vec<u8>, seeds: &[Vec<u8>], dice: &mut Dice) {
    let at = dice.below(bytes.len() + 1);
    let end = (at + 1 + dice.below(16)).min(bytes.len());
    match dice.below(9) {
        0 if at < bytes.len() => bytes[at] ^= 1 << dice.below(8),
        1 if at < bytes.len() => bytes[at] = *dice.one_of(TELLING),
        2 if at < bytes.len() => bytes[at] = dice.throw() as u8,
        3 => bytes.insert(at, *dice.one_of(TELLING)),
        4 if at < end => drop(bytes.drain(at..end)),
        5 if at < end => {
            let part = bytes[at..end].repeat(1 + dice.below(2000));
            bytes.splice(at..at, part);
        }
        6 => bytes.truncate(at),
        7 => {
            let other = dice.one_of(seeds);
            let from = dice.below(other.len() + 1);
            bytes.truncate(at);
            bytes.extend_from_slice(&other[from..]);
        }
        _ => {
            let number = dice.one_of(&EDGES);
            let number = if dice.once_in(2) {
                number.to_be_bytes()
            } else {
                number.to_le_bytes()
            };
            let width = *dice.one_of(&[1, 2, 4]);
            let end = (at + width).min(bytes.len());
            bytes.splice(at..end, number[4 - width..].iter().copied());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_inputs_come_first_and_mutated_ones_after_them() {
        let mut fuzz = Fuzz::of("itself", ["one", "another"]);
        assert_eq!(
            (fuzz.next(), fuzz.next()),
            (Some(b"one".to_vec()), Some(b"another".to_vec()))
        );
        let others = fuzz
            .take(200)
            .filter(|input| input != b"one" && input != b"another");
        assert!(others.count() > 150);
    }
}
