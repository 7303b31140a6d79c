//! A tar stream as a tree.
//!
//! Whoever sent it may wish us ill: names are taken apart and looked up one by one below the target, never through a
//! link; a file is written beside and renamed when it is whole; what is there already is never written to.

use std::io::BufRead;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, SeekFrom, ftruncate, linkat, makedev, mknodat, renameat, seek,
    symlinkat, unlinkat,
};
use rustix::io::{Errno, retry_on_intr, write};

use crate::attributes::Attributes;
use crate::error::{ArchiveError, shown};
use crate::header::kind;
use crate::levels::Levels;
use crate::member::{Kind, Member, Members, WARNINGS};
use crate::room::Room;
use crate::sparse::SparseMap;
use crate::system::beneath;
use crate::target::{Located, Root, Target, components};

/// What is kept of what the stream says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// Owners, and in a guest extended attributes: as they were. Otherwise everything is the caller's.
    pub owners: bool,
    /// Modes as they were. Otherwise the bits of the caller's umask are taken off them.
    pub modes: bool,
    /// Set-id bits (with [`Keep::owners`]) and devices: for a stream that may make whatever it likes.
    pub privileges: bool,
}

/// What was unpacked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Members of the stream.
    pub entries: u64,
    /// Bytes of files, without holes.
    pub bytes: u64,
    /// What was left out, a line each.
    pub warnings: Vec<String>,
    /// Warnings beyond those.
    pub more_warnings: u64,
}

/// Unpacks `stream` to `target`, reading it to its end.
///
/// # Errors
/// The target or an entry cannot be written, or the stream is broken or against the rules. What was whole by then
/// stays; nothing is left half.
pub fn unpack(stream: impl BufRead, target: &Target, keep: Keep) -> Result<Summary, ArchiveError> {
    let mut members = Members::new(stream);
    let mut summary = Summary::default();
    let Some(first) = members.next()? else {
        return Err(ArchiveError::empty());
    };
    let names = components(&first.path)?;
    let root = match first.kind {
        Kind::Directory => Root::Folder,
        _ if names.len() > 1 => Root::Folder,
        Kind::File { .. } => Root::File,
        _ => Root::Other,
    };
    let located = target.locate(names.first().copied(), root)?;
    let root = rustix::io::fcntl_dupfd_cloexec(&located.folder, 0)
        .map_err(ArchiveError::file("open", &located.path))?;
    let umask = umask();
    let mut unpacker = Unpacker {
        room: Room::of(root.as_fd(), &located.path)?,
        levels: Levels::new(root, located.only().map(<[u8]>::to_vec), keep, umask),
        keep,
        umask,
        written: None,
    };
    let mut next = Some(first);
    while let Some(member) = next {
        summary.entries += 1;
        summary.hear(members.warnings());
        unpacker
            .member(&located, member, &mut members, &mut summary)
            .map_err(|error| unpacker.in_place(&located, error))?;
        next = members.next()?;
        if next.is_none() {
            members.drain()?;
        }
        // Not before it is known what comes behind the file: that it is not whole, perhaps.
        unpacker
            .name()
            .map_err(|error| unpacker.in_place(&located, error))?;
    }
    summary.hear(members.warnings());
    unpacker.levels.leave(0)?;
    Ok(summary)
}

impl Summary {
    /// Takes up what the packer left out.
    pub(crate) fn hear(&mut self, (warnings, more): (Vec<String>, u64)) {
        for warning in warnings {
            self.warn(warning);
        }
        self.more_warnings += more;
    }

    pub(crate) fn warn(&mut self, warning: String) {
        if self.warnings.len() < WARNINGS {
            self.warnings.push(warning);
        } else {
            self.more_warnings += 1;
        }
    }
}

struct Unpacker {
    levels: Levels,
    keep: Keep,
    room: Room,
    /// Bits that the system takes off the mode of what is made.
    umask: u32,
    /// The last file, until it has its name.
    written: Option<Written>,
}

/// A file that is written under a name of our own. It is locked while it is open, and goes unless it gets its name.
struct Written {
    folder: OwnedFd,
    file: OwnedFd,
    staged: String,
    name: Vec<u8>,
    named: bool,
}

impl Written {
    fn get_name(mut self) -> Result<(), ArchiveError> {
        renameat(
            &self.folder,
            self.staged.as_str(),
            &self.folder,
            self.name.as_slice(),
        )
        .map_err(ArchiveError::file("write", &self.name))?;
        self.named = true;
        Ok(())
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        if !self.named {
            let _ = unlinkat(&self.folder, self.staged.as_str(), AtFlags::empty());
        }
    }
}

impl Unpacker {
    fn member(
        &mut self,
        located: &Located,
        member: Member,
        members: &mut Members<impl BufRead>,
        summary: &mut Summary,
    ) -> Result<(), ArchiveError> {
        let Member {
            path,
            kind,
            mut attributes,
        } = member;
        let names = located.place(&path)?;
        let allowed = if self.keep.owners && self.keep.privileges {
            0o7777
        } else {
            0o1777
        };
        attributes.mode &= if kind == Kind::Directory {
            allowed
        } else {
            allowed & !0o1000
        };
        if !self.keep.modes {
            attributes.mode &= !self.umask;
        }
        if !(self.keep.owners && self.keep.privileges) {
            attributes
                .xattrs
                .retain(|(name, _)| self.keep.owners && name.starts_with(b"user."));
        }
        let Some((name, above)) = names.split_last() else {
            return match kind {
                Kind::Directory => Ok(()),
                _ => Err(ArchiveError::refused(&path, "is no name")),
            };
        };
        match kind {
            Kind::Directory => self.levels.make(&names, attributes),
            Kind::File { size, map } => {
                let stored = map.as_ref().map_or(size, SparseMap::stored);
                self.room.take(&path, size, stored)?;
                self.levels.go(above)?;
                summary.bytes += self.file(name, &attributes, size, map, members)?;
                Ok(())
            }
            Kind::Symlink { target } => {
                self.levels.go(above)?;
                let owner = self.keep.owners;
                self.settle(name, |folder, name| {
                    symlinkat(target.as_slice(), folder, name)?;
                    attributes.apply_at(folder, name, owner)
                })
            }
            Kind::HardLink { target } => {
                let target = located.place(&target)?;
                let Some((old, folders)) = target.split_last() else {
                    return Err(ArchiveError::refused(&path, "is a second name for a folder"));
                };
                let from = self
                    .levels
                    .look(folders)
                    .map_err(ArchiveError::file("link to", &path))?;
                self.levels.go(above)?;
                self.settle(name, |folder, name| {
                    linkat(&from, *old, folder, name, AtFlags::empty())
                })
            }
            Kind::Special { kind: letter, device } => {
                if !self.keep.privileges {
                    summary.warn(format!("`{}` is a device or a pipe: left out", shown(&path)));
                    return Ok(());
                }
                self.levels.go(above)?;
                let (found, owner) = (special(letter), self.keep.owners);
                self.settle(name, |folder, name| {
                    let mode = Mode::from_raw_mode(attributes.mode);
                    mknodat(folder, name, found, mode, makedev(device.0, device.1))?;
                    attributes.apply_at(folder, name, owner)
                })
            }
        }
    }

    /// Has `make` make something under a name; where that is taken, under another one that then takes its place.
    fn settle(
        &mut self,
        name: &[u8],
        make: impl Fn(BorrowedFd<'_>, &[u8]) -> Result<(), Errno>,
    ) -> Result<(), ArchiveError> {
        self.levels.hold(name)?;
        match make(self.levels.folder(), name) {
            Ok(()) => return Ok(()),
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(ArchiveError::file("make", name)(errno)),
        }
        let fresh = self.levels.fresh();
        let folder = self.levels.folder();
        let made =
            make(folder, fresh.as_bytes()).and_then(|()| renameat(folder, fresh.as_str(), folder, name));
        // Still there after a failure, and after renaming one name of a file to another of the same.
        let _ = unlinkat(folder, fresh.as_str(), AtFlags::empty());
        made.map_err(ArchiveError::file("replace", name))
    }

    fn file(
        &mut self,
        name: &[u8],
        attributes: &Attributes,
        size: u64,
        map: Option<SparseMap>,
        members: &mut Members<impl BufRead>,
    ) -> Result<u64, ArchiveError> {
        self.levels.hold(name)?;
        let open = |folder: BorrowedFd<'_>, name: &[u8]| {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
            beneath(folder, name, flags, Mode::from_raw_mode(attributes.mode & 0o777))
        };
        let fail = || ArchiveError::file("write", name);
        let opened = match self.levels.is_private() {
            true => open(self.levels.folder(), name),
            false => Err(Errno::EXIST),
        };
        let opened = match opened {
            Err(Errno::EXIST) => self.levels.stage(open).map(|(file, fresh)| (file, Some(fresh))),
            opened => opened.map(|file| (file, None)),
        };
        let (file, staged) = opened.map_err(fail())?;
        let fill = |file: &OwnedFd| {
            let count = fill(file, size, map, members, fail)?;
            let made_with = attributes.mode & 0o777 & !self.umask;
            attributes
                .apply(file.as_fd(), self.keep.owners, Some(made_with))
                .map_err(|(action, errno)| ArchiveError::file(action, name)(errno))?;
            Ok(count)
        };
        let Some(staged) = staged else {
            // It goes with the folder that is made.
            return fill(&file);
        };
        let written = Written {
            folder: rustix::io::fcntl_dupfd_cloexec(self.levels.folder(), 0).map_err(fail())?,
            file,
            staged,
            name: name.to_vec(),
            named: false,
        };
        let count = fill(&written.file)?;
        self.written = Some(written);
        Ok(count)
    }

    /// Gives the last file its name.
    fn name(&mut self) -> Result<(), ArchiveError> {
        self.written.take().map_or(Ok(()), Written::get_name)
    }

    /// Says where in the target it happened.
    fn in_place(&self, located: &Located, error: ArchiveError) -> ArchiveError {
        match error {
            ArchiveError::File { action, path, source } => {
                let base = String::from_utf8_lossy(&located.path);
                let below = self.levels.path();
                let path = [base.trim_end_matches('/'), below.as_str(), path.as_str()]
                    .iter()
                    .filter(|part| !part.is_empty())
                    .copied()
                    .collect::<Vec<_>>()
                    .join("/");
                ArchiveError::File { action, path, source }
            }
            error => error,
        }
    }
}

/// Writes a member's data into a file.
fn fill<F: FnOnce(Errno) -> ArchiveError>(
    file: &OwnedFd,
    size: u64,
    map: Option<SparseMap>,
    members: &mut Members<impl BufRead>,
    fail: impl Fn() -> F,
) -> Result<u64, ArchiveError> {
    let Some(map) = map else {
        copy(file, size, members, &fail)?;
        return Ok(size);
    };
    for (offset, length) in &map.parts {
        seek(file, SeekFrom::Start(*offset)).map_err(fail())?;
        copy(file, *length, members, &fail)?;
    }
    ftruncate(file, map.size).map_err(fail())?;
    Ok(map.stored())
}

fn copy<F: FnOnce(Errno) -> ArchiveError>(
    file: &OwnedFd,
    length: u64,
    members: &mut Members<impl BufRead>,
    fail: impl Fn() -> F,
) -> Result<(), ArchiveError> {
    let mut left = length;
    while left > 0 {
        let mut data = members.data();
        let count = match data.fill_buf() {
            Ok(bytes) => {
                let room = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
                retry_on_intr(|| write(file, &bytes[..room])).map_err(fail())?
            }
            Err(error) => return Err(members.broken(error)),
        };
        if count == 0 {
            return Err(fail()(Errno::IO));
        }
        data.consume(count);
        left -= count as u64;
    }
    Ok(())
}

fn special(letter: u8) -> FileType {
    match letter {
        kind::CHARACTER_DEVICE => FileType::CharacterDevice,
        kind::BLOCK_DEVICE => FileType::BlockDevice,
        _ => FileType::Fifo,
    }
}

/// The bits that the system takes off a new file's mode (proc_pid_status(5)): asking for them otherwise changes them.
#[must_use]
pub fn umask() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    mask.and_then(|mask| u32::from_str_radix(mask.trim(), 8).ok())
        // Where it is not known, the owner alone gets anything.
        .unwrap_or(0o077)
}
