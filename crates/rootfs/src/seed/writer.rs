//! The plain tar that a seed becomes.

use std::io::{self, Read, Write};

use tar::{Builder, EntryType, Header};
use tarball::{Timestamp, shown};

use super::{MOST_BYTES, MOST_ENTRIES, SeedError};
use crate::erofs::components;

/// What is kept of an entry beside its name.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct About {
    pub(super) mode: u32,
    pub(super) modified: Timestamp,
}

/// Writes entries and counts them.
pub(super) struct Writer<W: Write> {
    tar: Builder<W>,
    entries: u64,
    bytes: u64,
}

impl<W: Write> Writer<W> {
    pub(super) fn new(out: W) -> Self {
        Self {
            tar: Builder::new(out),
            entries: 0,
            bytes: 0,
        }
    }

    /// A folder; the top itself is the guest's.
    pub(super) fn folder(&mut self, path: &[u8], about: About) -> Result<(), SeedError> {
        let Some(path) = below(path)? else { return Ok(()) };
        let mut header = self.header(EntryType::Directory, about, 0)?;
        self.append(&mut header, &path, io::empty())
    }

    /// A file of exactly so many bytes.
    pub(super) fn file(
        &mut self,
        path: &[u8],
        about: About,
        size: u64,
        data: impl Read,
    ) -> Result<(), SeedError> {
        let path = below(path)?.ok_or_else(|| bad(path))?;
        let mut header = self.header(EntryType::Regular, about, size)?;
        self.append(&mut header, &path, data)
    }

    /// A symbolic link, or one more name of a file that came before.
    pub(super) fn link(
        &mut self,
        kind: EntryType,
        path: &[u8],
        target: &[u8],
        about: About,
    ) -> Result<(), SeedError> {
        let path = below(path)?.ok_or_else(|| bad(path))?;
        let target = match kind {
            EntryType::Link => below(target)?.ok_or_else(|| bad(target))?,
            _ => target.to_vec(),
        };
        let mut header = self.header(kind, about, 0)?;
        let appended = self
            .tar
            .append_link(&mut header, os_path(&path), os_path(&target));
        appended.map_err(SeedError::Write)
    }

    pub(super) fn finish(self) -> Result<(), SeedError> {
        if self.entries == 0 {
            return Err(SeedError::Empty);
        }
        let flushed = self.tar.into_inner().and_then(|mut out| out.flush());
        flushed.map_err(SeedError::Write)
    }

    fn header(&mut self, kind: EntryType, about: About, size: u64) -> Result<Header, SeedError> {
        self.entries += 1;
        self.bytes = self.bytes.saturating_add(size);
        if self.entries > MOST_ENTRIES || self.bytes > MOST_BYTES {
            return Err(SeedError::TooLarge);
        }
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_mode(about.mode & 0o777);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(u64::try_from(about.modified.seconds).unwrap_or(0));
        Ok(header)
    }

    fn append(&mut self, header: &mut Header, path: &[u8], data: impl Read) -> Result<(), SeedError> {
        let left = header.entry_size().map_err(SeedError::Write)?;
        let mut source = Source {
            data,
            left,
            failed: None,
        };
        let appended = self.tar.append_data(header, os_path(path), &mut source);
        match (source.failed, appended) {
            (Some(error), _) => Err(SeedError::Read(error)),
            (None, appended) => appended.map_err(SeedError::Write),
        }
    }
}

/// Data that remembers whether it was what failed, and fails where it ends before its length.
struct Source<R> {
    data: R,
    left: u64,
    failed: Option<io::Error>,
}

impl<R: Read> Read for Source<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match self.data.read(buffer) {
            Ok(0) if self.left > 0 && !buffer.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
            read => read,
        };
        match read {
            Ok(read) => {
                self.left = self.left.saturating_sub(read as u64);
                Ok(read)
            }
            Err(error) => {
                self.failed = Some(io::Error::new(error.kind(), error.to_string()));
                Err(error)
            }
        }
    }
}

/// A path without what means nothing; none for the top itself.
fn below(path: &[u8]) -> Result<Option<Vec<u8>>, SeedError> {
    let names = components(path).map_err(|_| bad(path))?;
    let joined = names.join(&b'/');
    Ok((!joined.is_empty()).then_some(joined))
}

fn bad(path: &[u8]) -> SeedError {
    SeedError::Path { path: shown(path) }
}

fn os_path(bytes: &[u8]) -> &std::path::Path {
    use std::os::unix::ffi::OsStrExt as _;
    std::path::Path::new(std::ffi::OsStr::from_bytes(bytes))
}
