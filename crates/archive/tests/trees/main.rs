//! Trees packed and unpacked, and streams that wish ill.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod hostile;
mod placement;
mod round_trip;
mod support;
