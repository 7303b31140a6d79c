//! The user's terminal and standard streams, joined to a command in a guest.

mod attach;
mod input;
mod modes;
mod output;
mod raw;
mod signals;
mod unheard;

pub use attach::{Attachment, Ending, attach};
pub use input::Input;
pub use output::{Output, Piece};
pub use raw::window_size;
pub use signals::{Signals, exit_code};
