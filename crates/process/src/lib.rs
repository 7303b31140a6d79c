//! Processes that outlive the daemon: started apart, found again by pid and start time.
//!
//! A pid alone names nothing for long: the system hands it out again. Together with the start time and the
//! boot's id it names one process for ever ([`Identity`]). Whoever acts on a process first opens a descriptor
//! of it ([`Handle`]), which cannot change hands, and checks the identity through that.
//!
//! ```text
//!  Launch::start ── fork ── child waits ──────────────────────── exec
//!                     │         ▲ dies with the parent until then
//!                     └─ record written ─ go
//! ```
//!
//! So there is no moment in which a program runs and no record tells of it, and none in which a crash of the
//! parent leaves a program that nobody knows. A program whose caller waits for it has no record, and ends with its
//! caller: [`Command`]. Needs Linux 5.11 or newer.

mod activity;
mod command;
mod confine;
mod error;
mod fork;
mod group;
mod handle;
mod identity;
mod launch;
mod limits;
mod members;
mod readiness;
mod record;
mod restrict;
mod rights;
mod seccomp;
mod starter;
mod wire;

pub use activity::Activity;
pub use command::{Bounds, Child, Command, Cut, Finished, Stream, break_off};
pub use confine::{Confinement, IdRange, NoRange, Refusal};
pub use error::ProcessError;
pub use group::Group;
pub use handle::{Ending, Handle};
pub use identity::Identity;
pub use launch::{Launch, Started};
pub use limits::{Limits, raise_open_files};
pub use record::{read_record, remove_record, remove_unfinished_record, write_record};
pub use rights::FileRights;
pub use rustix::process::Signal;
pub use seccomp::{Call, Kind, SystemCalls};
pub use wire::{CARD, Wire};
