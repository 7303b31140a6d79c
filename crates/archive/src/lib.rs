//! Trees of files as tar streams: what `vm cp` sends and takes, the same code in the guest and on the host.
//!
//! ```text
//!  Source::open ── pack ──► pieces of a tar stream ──► Pieces ── unpack ──► Target
//! ```
//!
//! Streams are ustar with PAX records; sparse files are in GNU's PAX format 1.0. A stream from the other side is
//! hostile: whatever it says, nothing is written outside of the target, through a link, or under its final name
//! before it is whole. Memory is bounded in both directions, whatever the tree.

mod attributes;
mod error;
mod header;
mod levels;
mod member;
mod members;
mod pack;
mod pax;
mod pieces;
mod sparse;
mod system;
mod target;
mod unpack;

pub use error::ArchiveError;
pub use members::Members;
pub use pack::{PIECE, PackOptions, Source};
pub use pieces::Pieces;
pub use target::{Placement, Target};
pub use unpack::{Keep, Summary, unpack};
