//! Takes entries one by one and makes an image of them.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;

use sha2::{Digest as _, Sha256};
use tarball::{Entry, Kind, PATH_MAX, shown};

use super::content::{BlockWriter, StoreError};
use super::error::ErofsError;
use super::format::{BLOCK, BLOCK_BYTES, INODE, device_number, mode};
use super::image;
use super::tree::{Body, Inode, ROOT, Tree};
use super::xattr::XattrTable;

/// Bytes that a kept tail takes beside its own.
const TAIL_COST: usize = 16;

/// Bounds on what an image may hold.
#[derive(Clone, Debug)]
pub struct Options {
    /// Most inodes, directories that had to be made and replaced entries included.
    pub entries: u32,
    /// Most bytes of all files together, holes included.
    pub bytes: u64,
    /// Most bytes of small files and last partial blocks that are kept in memory to be stored beside their inode.
    /// Beyond that they take a block of their own.
    pub tails: usize,
    /// Most bytes of memory for what is known of all entries beside those: names, owners, times, extended attributes, and
    /// where files with holes or packed ones have their data.
    pub memory: usize,
    /// Whether a tar archive must end with the zero block that the format demands. Some writers of container layers
    /// leave it out; whoever reads those has a digest that tells a truncated one.
    pub end_marker: bool,
    /// How file data is stored.
    pub compression: Compression,
}

/// How an image's file data is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// As it is.
    #[default]
    None,
    /// By LZ4, 64 KiB at a time, where that saves a block.
    Lz4,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            entries: 2_000_000,
            bytes: 256 << 30,
            tails: 128 << 20,
            // A million files of ordinary names.
            memory: 192 << 20,
            end_marker: true,
            compression: Compression::None,
        }
    }
}

/// A finished image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// SHA-256 of the whole file, in hexadecimal.
    pub digest: String,
    /// Its length.
    pub bytes: u64,
    /// Inodes in it.
    pub entries: u64,
    /// Names that are left out of it: of character devices 0:0, which overlayfs takes for removed names.
    pub left_out: u64,
}

/// Writes one image. Entries come in any order: a missing parent is made, a later entry of the same path wins. What
/// overlayfs would take for notes of its own is left out.
#[derive(Debug)]
pub struct Builder<'a> {
    out: &'a File,
    options: Options,
    writer: BlockWriter<'a>,
    tree: Tree,
    xattrs: XattrTable,
    bytes: u64,
    tails: usize,
}

impl<'a> Builder<'a> {
    /// Starts an image in `out`, which is emptied. It must be open for reading and writing; its position does not
    /// matter.
    ///
    /// # Errors
    /// [`ErofsError::Write`] if the file cannot be emptied.
    pub fn new(out: &'a mut File, options: Options) -> Result<Self, ErofsError> {
        let out = &*out;
        Ok(Self {
            out,
            writer: BlockWriter::new(out, options.compression).map_err(ErofsError::Write)?,
            tree: Tree::new(options.entries, options.memory),
            xattrs: XattrTable::default(),
            bytes: 0,
            tails: 0,
            options,
        })
    }

    /// Adds one entry. `data` is read for a regular file only, and then exactly as many bytes as the entry says.
    ///
    /// # Errors
    /// Each names the entry: what [`ErofsError`] lists of paths, links, attributes and bounds, or that `data` failed
    /// or ended early.
    pub fn add(&mut self, entry: &Entry, mut data: impl Read) -> Result<(), ErofsError> {
        let place = self.tree.place(&entry.path)?;
        if let Kind::HardLink { target } = &entry.kind {
            return self.tree.link(&entry.path, &place, target);
        }
        let before = self.xattrs.cost();
        let (xattrs, xattr_bytes) = self.xattrs.intern(&entry.path, &entry.xattrs)?;
        self.tree.spend(&entry.path, self.xattrs.cost() - before)?;
        let (kind, body) = match &entry.kind {
            Kind::File { size } => (mode::FILE, self.store(entry, &mut data, *size, xattr_bytes)?),
            Kind::Symlink { target } => {
                if target.is_empty() || target.len() > PATH_MAX || target.contains(&0) {
                    return Err(ErofsError::BadLinkTarget {
                        entry: shown(&entry.path),
                        length: target.len(),
                    });
                }
                let size = target.len() as u64;
                (
                    mode::SYMLINK,
                    self.store(entry, &mut target.as_slice(), size, xattr_bytes)?,
                )
            }
            Kind::Directory => (mode::DIRECTORY, Body::Directory { parent: ROOT }),
            Kind::CharacterDevice { major, minor } => (mode::CHARACTER, device(entry, *major, *minor)?),
            Kind::BlockDevice { major, minor } => (mode::BLOCK, device(entry, *major, *minor)?),
            Kind::Fifo => (mode::FIFO, Body::Nothing),
            Kind::Socket => (mode::SOCKET, Body::Nothing),
            Kind::HardLink { .. } => unreachable!("links have returned above"),
        };
        if entry.modified.nanoseconds >= 1_000_000_000 {
            return Err(ErofsError::BadField {
                entry: shown(&entry.path),
                field: "time",
            });
        }
        let inode = Inode {
            mode: kind | (entry.mode & 0o7777) as u16,
            uid: entry.uid,
            gid: entry.gid,
            modified: entry.modified,
            xattrs,
            links: 0,
            body,
        };
        self.tree.put(&entry.path, &place, inode)
    }

    /// Writes directories, inodes and superblock, and reads the image once more for its digest. The file is complete
    /// but not synced.
    ///
    /// # Errors
    /// [`ErofsError::Write`] and [`ErofsError::Digest`] if the file cannot be written or read back.
    pub fn finish(self) -> Result<Written, ErofsError> {
        self.finish_and_tell(&mut |_, _| {})
    }

    /// The same. `tell` hears how many bytes of how many have been read once more.
    ///
    /// # Errors
    /// As [`Builder::finish`].
    pub fn finish_and_tell(self, tell: &mut dyn FnMut(u64, u64)) -> Result<Written, ErofsError> {
        let (bytes, entries, left_out) = image::write(self.out, self.writer, self.tree, self.xattrs)?;
        let digest = digest(self.out, &mut |done| tell(done, bytes)).map_err(ErofsError::Digest)?;
        Ok(Written {
            digest,
            bytes,
            entries,
            left_out,
        })
    }

    fn store(
        &mut self,
        entry: &Entry,
        data: &mut impl Read,
        size: u64,
        xattr_bytes: usize,
    ) -> Result<Body, ErofsError> {
        let limit = self.options.bytes;
        let too_large = || ErofsError::TooLarge {
            entry: shown(&entry.path),
            limit,
        };
        self.bytes = self
            .bytes
            .checked_add(size)
            .filter(|bytes| *bytes <= limit)
            .ok_or_else(too_large)?;
        let tail = (size % BLOCK_BYTES) as usize;
        let kept = tail + TAIL_COST;
        let keep = INODE + xattr_bytes + tail <= BLOCK && self.tails + kept <= self.options.tails;
        let content = self.writer.store(data, size, keep).map_err(|error| match error {
            StoreError::Short => ErofsError::Truncated {
                entry: shown(&entry.path),
            },
            StoreError::Read(source) => ErofsError::Read {
                entry: shown(&entry.path),
                source,
            },
            StoreError::Write(source) => ErofsError::Write(source),
            StoreError::Full => too_large(),
        })?;
        if keep {
            self.tails += kept;
        }
        Ok(Body::Stored { size, content })
    }
}

fn device(entry: &Entry, major: u32, minor: u32) -> Result<Body, ErofsError> {
    device_number(major, minor)
        .map(|number| Body::Device { number })
        .ok_or_else(|| ErofsError::BadDevice {
            entry: shown(&entry.path),
            major,
            minor,
        })
}

/// SHA-256 of a file from its start, in hexadecimal. A second pass: the superblock comes first in the file and last in
/// time. What has just been written comes from the page cache.
fn digest(file: &File, read: &mut dyn FnMut(u64)) -> io::Result<String> {
    let mut buffer = vec![0; 256 * 1024];
    let mut hash = Sha256::new();
    let mut position = 0;
    loop {
        match file.read_at(&mut buffer, position) {
            Ok(0) => return Ok(format!("{:x}", hash.finalize())),
            Ok(length) => {
                hash.update(&buffer[..length]);
                position += length as u64;
                read(position);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
