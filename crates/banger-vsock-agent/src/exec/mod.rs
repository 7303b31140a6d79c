//! Commands: who they run as, what they run in, how they are started, attended and ended.
//!
//! ```text
//!  Exec ─► accounts, environment, program ─► Launch ─► spawn ─► Running ─► attend
//!          (what the guest's files say)               (cgroup, session, terminal)
//! ```

mod accounts;
mod cgroup;
mod commands;
mod environment;
mod input;
mod launch;
mod output;
mod program;
mod running;
mod service;
mod spawn;
mod terminal;

pub(crate) use accounts::group_id;
pub use commands::Commands;
pub(crate) use environment::check as check_environment;
pub(crate) use service::Service;
