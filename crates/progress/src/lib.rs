//! Blocking work that another thread can stop: downloads, builds, imports.

mod cancel;

pub use cancel::{Cancel, Cancelled, Guard};
