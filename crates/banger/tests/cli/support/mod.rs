//! What the tests share: a daemon, ways to run `banger`, and a terminal.

mod client;
mod daemon;
mod files;
mod forward;
mod guest;
mod home;
mod images;
mod kernels;
mod routes;
mod ssh;
mod terminal;
mod workshop;

pub use client::{Client, Finished, wait_for};
pub use daemon::{FakeDaemon, vm};
pub use home::Home;
pub use terminal::Terminal;
pub use workshop::Workshop;
