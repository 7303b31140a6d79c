//! Files that are whole under their name, or not there: written beside it, synced, renamed.

mod publish;
mod staging;

pub use publish::{publish, replace, write};
pub use staging::{STAGING, staging, sweep, sync_folder};
