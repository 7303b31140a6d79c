//! Kernels: fetched from an archive on loopback, and built by `scripts/make-generic-kernel.sh`.

#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]

mod fetch;
mod make;
mod support;
