//! Verbs over guests that lie, and what has to hold afterwards: for the host's files, the terminal and the daemon.

#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]

mod ended;
mod memory;
mod untouched;
mod verbs;

pub use ended::{Ended, assert_plain, run, run_until};
pub use memory::Memory;
pub use untouched::{Untouched, found_in};
pub use verbs::{HONEST, LIAR, RESTARTED, STARTED, SYNCED, Stage, Verb, commit_something};
