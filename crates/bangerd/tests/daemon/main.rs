//! The daemon as its clients meet it.
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]

mod catalog;
mod events;
mod http;
mod openapi;
mod simulated;
mod socket;
mod support;
mod trouble;
