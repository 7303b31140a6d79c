//! A real passt between a guest of hand-made frames and a host of its own.

#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]

mod closed;
mod connections;
mod datagrams;
mod ipv6;
mod names;
mod pings;
mod repeats;
mod support;
mod tap;
mod user;
