//! The user's side of ssh: settings that the `ssh` client is run with, and their place in `~/.ssh/config`.

mod include;
mod settings;
mod user_file;
mod words;

pub use settings::{Settings, address};
pub use user_file::{Change, Included, UserFile};
pub use words::{quote, quote_command};

/// What VMs are called by ssh clients: `NAME.vm`.
pub const SUFFIX: &str = ".vm";
