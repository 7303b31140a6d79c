//! What the tests share: a daemon, ways to run `banger`, and a terminal.

mod client;
mod daemon;
mod guest;
mod routes;
mod terminal;

pub use client::{Client, Finished, banger_beside_its_daemon, surroundings, wait_for};
pub use daemon::{FakeDaemon, vm};
pub use terminal::Terminal;
