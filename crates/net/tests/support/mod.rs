//! A host and a guest for tests: a network namespace, and Ethernet frames made by hand.

#![expect(clippy::unwrap_used, reason = "a helper of a test may panic as well")]

pub mod guest;
pub mod host;
