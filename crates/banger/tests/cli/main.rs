//! The command line from outside: the built `banger` against a small daemon of the test's own, which speaks the real
//! API over a Unix socket and whose guests are programs of this host.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bootstrap;
mod broken_off;
mod completion;
mod cp;
mod daemon;
mod exec;
mod file_sync;
mod forward;
mod hanging;
mod homes;
mod image;
mod kernel;
mod lies;
mod lifecycle;
mod listing;
mod logs;
mod lost_work;
mod ports;
mod publish;
mod recovered;
mod refused;
mod run;
mod ssh;
mod start;
mod submodules;
mod support;
mod terminal;
mod trust;
mod usage;
mod verbs;
mod wishes;
mod words;
mod workspace;
