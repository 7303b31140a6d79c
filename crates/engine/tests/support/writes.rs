//! Writes of the store, counted, and made to fail.

use std::sync::{Arc, Mutex};

/// The writes of one host's stores.
#[derive(Clone, Debug, Default)]
pub struct Writes(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    written: Vec<&'static str>,
    fails: Option<Fails>,
}

/// Which writes fail, counted from the moment that it is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fails {
    /// That one.
    Once(usize),
    /// That one and all after it: the disk is full.
    From(usize),
}

impl Writes {
    /// From now on it is counted anew, and these fail.
    pub fn fail(&self, fails: Option<Fails>) {
        *self.0.lock().unwrap() = State {
            written: Vec::new(),
            fails,
        };
    }

    /// What was tried since then.
    pub fn tried(&self) -> Vec<&'static str> {
        self.0.lock().unwrap().written.clone()
    }

    pub fn fails(&self, what: &'static str) -> bool {
        let mut state = self.0.lock().unwrap();
        let number = state.written.len();
        state.written.push(what);
        match state.fails {
            None => false,
            Some(Fails::Once(which)) => number == which,
            Some(Fails::From(first)) => number >= first,
        }
    }
}
