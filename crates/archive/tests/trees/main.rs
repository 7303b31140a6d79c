//! Trees packed and unpacked, and streams that wish ill.

mod hostile;
mod placement;
mod round_trip;
mod support;
