//! A tree as pieces of a tar stream.
//!
//! A file's data is read straight into the piece that is sent. A small file is read before its header is written, so
//! that one which changes meanwhile, or whose size the kernel does not tell (`/proc`), is whole all the same.

mod contents;

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use bytes::Bytes;
use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, fstat, major, minor, openat, readlinkat, statat,
};
use rustix::io::Errno;

use crate::attributes::{Attributes, xattrs};
use crate::error::ArchiveError;
use crate::header::{Header, NAME, RECORD, kind};
use crate::sparse::SparseMap;
use crate::top::Top;
use crate::{pax, system};

/// Bytes of a piece of the stream; what is read of a file at a time.
pub const PIECE: usize = 256 << 10;

/// Names of files with several links that are remembered; further ones are sent as files of their own.
const HARD_LINKS: usize = 1 << 20;

/// What is packed besides files, folders and links with their modes and times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PackOptions {
    /// Extended attributes, and times to the nanosecond.
    pub archive: bool,
}

/// A tree that is to be packed.
#[derive(Debug)]
pub struct Source {
    path: Vec<u8>,
    /// The name that its root has in the stream; `.` if only what is in it is meant.
    top: Vec<u8>,
    object: Object,
}

#[derive(Debug)]
enum Object {
    Folder(OwnedFd),
    File(OwnedFd),
    Link { target: Vec<u8>, stat: Stat },
}

impl Source {
    /// Opens what lies at `path`. A path that ends in `/.` means what is in the folder, without the folder; one that
    /// ends in `/` is a folder, also through a link. A link is otherwise packed as the link it is, unless `follow`.
    ///
    /// # Errors
    /// There is nothing, it cannot be read, or it is a device, a socket or a pipe.
    pub fn open(path: &Path, follow: bool) -> Result<Self, ArchiveError> {
        let bytes = path.as_os_str().as_bytes();
        let fail = |errno| ArchiveError::file("read", bytes)(errno);
        let called = Top::of(path);
        let top = called.name().to_vec();
        let folder = called == Top::Contents || bytes.ends_with(b"/");
        if !follow && !folder {
            let stat = statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW).map_err(fail)?;
            if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
                let target = readlinkat(CWD, path, Vec::new()).map_err(fail)?.into_bytes();
                return Ok(Self {
                    path: bytes.to_vec(),
                    top,
                    object: Object::Link { target, stat },
                });
            }
        }
        let looked = system::open(path, OFlags::PATH).map_err(fail)?;
        let object = match FileType::from_raw_mode(fstat(&looked).map_err(fail)?.st_mode) {
            FileType::Directory => {
                Object::Folder(system::open(path, OFlags::RDONLY | OFlags::DIRECTORY).map_err(fail)?)
            }
            _ if folder => return Err(fail(Errno::NOTDIR)),
            FileType::RegularFile => {
                Object::File(system::open(path, OFlags::RDONLY | OFlags::NONBLOCK).map_err(fail)?)
            }
            _ => {
                return Err(ArchiveError::refused(
                    bytes,
                    "is neither a file, a folder nor a link",
                ));
            }
        };
        Ok(Self {
            path: bytes.to_vec(),
            top,
            object,
        })
    }

    /// Length in bytes, if this is one file.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        match &self.object {
            Object::File(file) => fstat(file).ok().and_then(|stat| u64::try_from(stat.st_size).ok()),
            _ => None,
        }
    }

    /// Packs it; `send` takes the stream, piece by piece. Where a part of the tree cannot be read, the stream ends
    /// with a line that says so to whoever unpacks it, and so does this.
    ///
    /// # Errors
    /// What cannot be read, or what `send` failed with.
    pub fn pack(
        self,
        options: PackOptions,
        send: &mut dyn FnMut(Bytes) -> io::Result<()>,
    ) -> Result<(), ArchiveError> {
        let mut packer = Packer::new(options, self.path, send);
        packer.path = self.top;
        match packer.tree(self.object) {
            Ok(()) => packer.end(),
            Err(error @ ArchiveError::Stream { .. }) => Err(error),
            Err(error) => {
                packer.break_off(&error.line())?;
                Err(error)
            }
        }
    }
}

pub(crate) struct Packer<'a> {
    options: PackOptions,
    send: &'a mut dyn FnMut(Bytes) -> io::Result<()>,
    /// Not sent yet; its capacity is [`PIECE`] at least.
    piece: Vec<u8>,
    /// Of the member at hand, in the stream.
    pub(crate) path: Vec<u8>,
    /// What the user calls the root.
    base: Vec<u8>,
    links: HashMap<(u64, u64), Vec<u8>>,
}

impl<'a> Packer<'a> {
    /// Begins a stream of what the user knows as `base`.
    pub(crate) fn new(
        options: PackOptions,
        base: Vec<u8>,
        send: &'a mut dyn FnMut(Bytes) -> io::Result<()>,
    ) -> Self {
        Self {
            options,
            send,
            piece: Vec::with_capacity(PIECE),
            path: Vec::new(),
            base,
            links: HashMap::new(),
        }
    }
}

impl Packer<'_> {
    fn tree(&mut self, object: Object) -> Result<(), ArchiveError> {
        match object {
            Object::File(file) => {
                let stat = fstat(&file).map_err(|errno| self.fail(errno))?;
                self.file(file.as_fd(), &stat)
            }
            Object::Link { target, stat } => self.link(&target, &stat),
            Object::Folder(folder) => self.folders(folder),
        }
    }

    /// A folder and all below it, without recursion: trees can be deeper than a thread's stack.
    fn folders(&mut self, root: OwnedFd) -> Result<(), ArchiveError> {
        let mut levels = vec![self.folder(root)?];
        while let Some((folder, length)) = levels.last_mut() {
            self.path.truncate(*length);
            let Some(entry) = folder.next() else {
                levels.pop();
                continue;
            };
            let entry = entry.map_err(|errno| self.fail(errno))?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            self.path.push(b'/');
            self.path.extend_from_slice(name);
            let fd = folder.fd().map_err(|errno| self.fail(errno))?;
            if let Some(below) = self.entry(fd, name, entry.file_type())? {
                let level = self.folder(below)?;
                levels.push(level);
            }
        }
        Ok(())
    }

    /// Packs an entry of a folder; gives it back opened if it is a folder itself. One that somebody deleted a moment
    /// ago is passed over.
    pub(crate) fn entry(
        &mut self,
        folder: BorrowedFd<'_>,
        name: &[u8],
        mut found: FileType,
    ) -> Result<Option<OwnedFd>, ArchiveError> {
        // What opening or looking gave, unless it is gone.
        macro_rules! there {
            ($call:expr) => {
                match $call {
                    Ok(value) => value,
                    Err(Errno::NOENT) => return Ok(None),
                    Err(errno) => return Err(self.fail(errno)),
                }
            };
        }
        if found == FileType::Unknown {
            let stat = there!(statat(folder, name, AtFlags::SYMLINK_NOFOLLOW));
            found = FileType::from_raw_mode(stat.st_mode);
        }
        match found {
            FileType::Directory => {
                return Ok(Some(there!(openat(folder, name, system::FOLDER, Mode::empty()))));
            }
            FileType::RegularFile => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
                let file = there!(openat(folder, name, flags, Mode::empty()));
                let stat = fstat(&file).map_err(|errno| self.fail(errno))?;
                self.file(file.as_fd(), &stat)?;
            }
            FileType::Symlink => {
                let stat = there!(statat(folder, name, AtFlags::SYMLINK_NOFOLLOW));
                let target = there!(readlinkat(folder, name, Vec::new()));
                self.link(target.as_bytes(), &stat)?;
            }
            FileType::Fifo | FileType::CharacterDevice | FileType::BlockDevice => {
                let stat = there!(statat(folder, name, AtFlags::SYMLINK_NOFOLLOW));
                let letter = match found {
                    FileType::Fifo => kind::FIFO,
                    FileType::CharacterDevice => kind::CHARACTER_DEVICE,
                    _ => kind::BLOCK_DEVICE,
                };
                self.head(letter, &Attributes::of(&stat), 0, b"", device(&stat), &[])?;
            }
            _ => {
                let path = self.shown();
                self.tell(pax::WARNING, &format!("`{path}` is a socket: left out"))?;
            }
        }
        Ok(None)
    }

    fn folder(&mut self, folder: OwnedFd) -> Result<(Dir, usize), ArchiveError> {
        let stat = fstat(&folder).map_err(|errno| self.fail(errno))?;
        let attributes = self.attributes(folder.as_fd(), &stat);
        let length = self.path.len();
        self.path.push(b'/');
        self.head(kind::DIRECTORY, &attributes, 0, b"", (0, 0), &[])?;
        self.path.truncate(length);
        Ok((Dir::new(folder).map_err(|errno| self.fail(errno))?, length))
    }

    fn link(&mut self, target: &[u8], stat: &Stat) -> Result<(), ArchiveError> {
        self.head(kind::SYMLINK, &Attributes::of(stat), 0, target, (0, 0), &[])
    }

    /// Sends a further name of a file that has one in the stream, and remembers the first name of another.
    fn linked(&mut self, stat: &Stat) -> Result<bool, ArchiveError> {
        let id = (stat.st_dev, stat.st_ino);
        if let Some(first) = self.links.get(&id).cloned() {
            self.head(kind::HARD_LINK, &Attributes::of(stat), 0, &first, (0, 0), &[])?;
            return Ok(true);
        }
        if self.links.len() < HARD_LINKS {
            self.links.insert(id, self.path.clone());
        }
        Ok(false)
    }

    /// All of a file with holes but its data, which follows. Gives the size of the member.
    pub(crate) fn sparse_head(
        &mut self,
        attributes: &Attributes,
        map: &SparseMap,
    ) -> Result<u64, ArchiveError> {
        let mut records = Vec::new();
        pax::push(&mut records, b"GNU.sparse.major", b"1");
        pax::push(&mut records, b"GNU.sparse.minor", b"0");
        pax::push(&mut records, b"GNU.sparse.name", &self.path);
        pax::push(
            &mut records,
            b"GNU.sparse.realsize",
            map.size.to_string().as_bytes(),
        );
        let table = map.to_data();
        let size = table.len() as u64 + map.stored();
        self.head(kind::FILE, attributes, size, b"", (0, 0), &records)?;
        self.put(&table)?;
        Ok(size)
    }

    fn attributes(&self, file: BorrowedFd<'_>, stat: &Stat) -> Attributes {
        let mut attributes = Attributes::of(stat);
        if self.options.archive {
            attributes.xattrs = xattrs(file);
        }
        attributes
    }

    /// Puts a header, before it the records that it needs.
    pub(crate) fn head(
        &mut self,
        letter: u8,
        attributes: &Attributes,
        size: u64,
        link: &[u8],
        device: (u32, u32),
        records: &[u8],
    ) -> Result<(), ArchiveError> {
        let mut records = records.to_vec();
        if self.path.len() > NAME {
            pax::push(&mut records, b"path", &self.path);
        }
        if link.len() > NAME {
            pax::push(&mut records, b"linkpath", link);
        }
        if self.options.archive {
            let (seconds, nanoseconds) = attributes.modified;
            if nanoseconds != 0 && seconds >= 0 {
                pax::push(
                    &mut records,
                    b"mtime",
                    format!("{seconds}.{nanoseconds:09}").as_bytes(),
                );
            }
            for (name, value) in &attributes.xattrs {
                pax::push(&mut records, &[pax::XATTR.as_bytes(), name].concat(), value);
            }
        }
        if !records.is_empty() {
            self.records(kind::PAX, &records)?;
        }
        let mut record = [0; RECORD];
        header(letter, &self.path, attributes, size, link, device).encode(&mut record);
        self.put(&record)
    }

    fn records(&mut self, letter: u8, records: &[u8]) -> Result<(), ArchiveError> {
        let size = records.len() as u64;
        let mut record = [0; RECORD];
        let head = Header {
            kind: letter,
            name: b"PaxHeaders/banger",
            mode: 0o644,
            size,
            ..Header::default()
        };
        head.encode(&mut record);
        self.put(&record)?;
        self.put(records)?;
        self.pad(size)
    }

    /// A line for whoever unpacks the stream.
    pub(crate) fn tell(&mut self, key: &str, line: &str) -> Result<(), ArchiveError> {
        let mut records = Vec::new();
        pax::push(&mut records, key.as_bytes(), line.as_bytes());
        self.records(kind::GLOBAL_PAX, &records)
    }

    /// Ends the stream with why there is no more.
    pub(crate) fn break_off(&mut self, why: &str) -> Result<(), ArchiveError> {
        self.tell(pax::FAILURE, why)?;
        self.end()
    }

    pub(crate) fn put(&mut self, mut bytes: &[u8]) -> Result<(), ArchiveError> {
        while !bytes.is_empty() {
            if self.piece.len() == self.piece.capacity() {
                self.send()?;
            }
            let room = self.piece.capacity() - self.piece.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.piece.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    fn zeros(&mut self, mut count: u64) -> Result<(), ArchiveError> {
        const ZEROS: [u8; 4096] = [0; 4096];
        while count > 0 {
            let now = count.min(ZEROS.len() as u64);
            self.put(&ZEROS[..now as usize])?;
            count -= now;
        }
        Ok(())
    }

    /// Fills the last record of data of this size.
    pub(crate) fn pad(&mut self, size: u64) -> Result<(), ArchiveError> {
        self.zeros(size.next_multiple_of(RECORD as u64) - size)
    }

    pub(crate) fn end(&mut self) -> Result<(), ArchiveError> {
        self.zeros(2 * RECORD as u64)?;
        self.send()
    }

    fn send(&mut self) -> Result<(), ArchiveError> {
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE));
        (self.send)(piece.into()).map_err(|source| ArchiveError::Stream {
            after: String::from_utf8_lossy(&self.path).into_owned(),
            source,
        })
    }

    pub(crate) fn fail(&self, errno: Errno) -> ArchiveError {
        ArchiveError::File {
            action: "read",
            path: self.shown(),
            source: errno.into(),
        }
    }

    /// The member at hand as the user would call it.
    pub(crate) fn shown(&self) -> String {
        let below = self
            .path
            .iter()
            .position(|byte| *byte == b'/')
            .map_or(&b""[..], |at| &self.path[at..]);
        let base = self.base.strip_suffix(b"/.").unwrap_or(&self.base);
        let base = base.strip_suffix(b"/").unwrap_or(base);
        String::from_utf8_lossy(&[base, below].concat()).into_owned()
    }
}

fn header<'a>(
    letter: u8,
    path: &'a [u8],
    attributes: &Attributes,
    size: u64,
    link: &'a [u8],
    device: (u32, u32),
) -> Header<'a> {
    Header {
        kind: letter,
        name: path,
        link,
        mode: attributes.mode,
        uid: attributes.uid,
        gid: attributes.gid,
        size,
        seconds: attributes.modified.0,
        device,
    }
}

fn device(stat: &Stat) -> (u32, u32) {
    (major(stat.st_rdev), minor(stat.st_rdev))
}
