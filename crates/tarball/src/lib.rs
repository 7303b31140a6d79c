//! Tar archives as distributions and container tools write them: ustar, GNU and PAX; long names, large numbers, sparse
//! files, binary extended attributes. Strict and bounded, since whoever made the archive may wish us ill.
//!
//! ```text
//!   bytes ──► Archive ──► Member { entry, map } ── content ──► data, holes filled
//! ```

mod entry;
mod error;
mod names;
mod number;
mod pax;
mod reader;
mod sparse;

pub use entry::{Entry, Kind, NAME_MAX, PATH_MAX, Timestamp, Xattr, shown};
pub use error::{ArchiveError, Fault};
pub use names::{Folders, NAME_COST, Names};
pub use number::number;
pub use reader::{Archive, Content, Member};
pub use sparse::SparseMap;
