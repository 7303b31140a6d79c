//! Trees packed and unpacked, and streams that wish ill.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod asked;
mod hostile;
mod killed;
mod placement;
mod round_trip;
mod sifted;
mod support;
mod whole;
