//! An EROFS writer that is fed by a stream of entries.
//!
//! ```text
//!   tar ──► Archive ──► Entry + data ──► Builder ──► file
//!                                           │
//!          block 0   superblock             │ written last
//!          1 …       file data              │ as it streams in
//!          …         shared xattrs, directories, inodes (with inline tails): by `finish`
//! ```
//!
//! File data goes straight to the output; only metadata and the last partial block of small files stay in memory,
//! both bounded by [`Options`]. Equal entries in equal order give equal bytes: there is no clock and no randomness in
//! the output. The format is that of Linux `fs/erofs/erofs_fs.h`, limited to what kernel 6.1 reads: extended inodes,
//! flat files with inline tails, chunk-based files where there are holes, LZ4 where it is asked for, inline and shared
//! xattrs.

mod builder;
mod compressed;
mod content;
mod directory;
mod error;
mod format;
mod image;
mod overlay;
mod pack;
mod path;
mod tar;
mod tree;
mod xattr;

pub use builder::{Builder, Compression, Options, Written};
pub use error::ErofsError;
pub(crate) use path::components;
pub use tar::write_tar;
pub use tarball::{Entry, Kind, Timestamp, Xattr};
