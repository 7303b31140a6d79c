//! The truth about what should exist: one SQLite file, one module a table.
//!
//! ```text
//!  Store (cheap clone) ── jobs ──► one thread ── the one connection ──► banger.db
//! ```
//!
//! A job is one transaction and, once its future has been polled, runs to its end even where the caller stops waiting. Times are kept in
//! milliseconds; what is finer is cut off. The crate knows nothing of VMs but their rows.

mod error;
mod file;
mod images;
mod kernels;
mod operations;
mod schema;
mod sql;
mod vms;
mod worker;

pub use error::StoreError;
pub use images::{ImageRow, Images};
pub use kernels::{KernelRow, Kernels};
pub use operations::{OperationRow, Operations};
pub use schema::{Compatibility, check};
pub use vms::{Change, Pending, PublishedPort, Transition, VmRow, VmUpdate, Vms};
pub use worker::{Store, WriteFault};
