//! The command line's side of workspaces: the way into a guest that `workspace` asks for, what is remembered of each
//! workspace, and its errors as a user reads them.

mod failure;
mod guest;
mod open;
mod records;
mod trust;
mod wishes;

pub use failure::{command, failed, failed_at};
pub use guest::Remote;
pub use open::open;
pub use records::{Asked, Noted, Record, Records};
pub use trust::{Trust, agreed};
pub use wishes::Wishes;
