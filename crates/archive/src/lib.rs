//! Trees of files as tar streams: what `vm cp` sends and takes, the same code in the guest and on the host.
//!
//! ```text
//!  Source::open ── pack ──► pieces of a tar stream ──► Pieces ── unpack ──► Target
//! ```
//!
//! What goes on to something else than [`unpack`] (another guest, the user's own tar) goes through [`sift`] first.
//!
//! Streams are ustar with PAX records; sparse files are in GNU's PAX format 1.0. A stream from the other side is
//! hostile: whatever it says, nothing is written outside of the target, beside the tree that was asked for, through a
//! link, or under its final name before it is whole. Memory is bounded in both directions, whatever the tree.

mod attributes;
mod error;
mod header;
pub mod leftover;
mod levels;
mod link;
mod member;
mod members;
mod pack;
mod pax;
mod pieces;
mod room;
mod sift;
mod sparse;
mod system;
mod target;
mod top;
mod unpack;

pub use error::ArchiveError;
pub use members::Members;
pub use pack::{PIECE, PackOptions, Source};
pub use pieces::Pieces;
pub use sift::sift;
pub use target::{Placement, Target};
pub use top::Top;
pub use unpack::{Keep, Summary, umask, unpack};
