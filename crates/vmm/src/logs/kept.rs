//! A log that is being written, in two files that are never longer than its limit.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Mode, OFlags, fstat, openat, renameat, statat, unlinkat};
use rustix::io::Errno;

use super::Log;

/// The log, in a folder that may lie anywhere, or be gone, by now.
pub(super) struct Kept {
    folder: OwnedFd,
    log: Log,
    file: File,
    length: u64,
}

impl Kept {
    /// Begins anew: a log tells of one run of the machine.
    pub(super) fn begin(folder: OwnedFd, log: Log) -> io::Result<Self> {
        for name in [log.name, log.older] {
            match unlinkat(&folder, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Self {
            file: create(&folder, log.name)?,
            folder,
            log,
            length: 0,
        })
    }

    pub(super) fn add(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.length == self.log.limit {
                self.turn_over();
            }
            // To the limit exactly: the older file is always a full one.
            let room = usize::try_from(self.log.limit - self.length).unwrap_or(usize::MAX);
            let (now, rest) = bytes.split_at(room.min(bytes.len()));
            // Counted whether it could be written or not; a short write must not let the file outgrow its limit.
            self.length += now.len() as u64;
            let _ = self.file.write_all(now);
            bytes = rest;
        }
    }

    /// Makes the file the older one and begins another.
    fn turn_over(&mut self) {
        self.length = 0;
        let begun = match self.is_in_its_place() {
            Ok(true) => renameat(&self.folder, self.log.name, &self.folder, self.log.older)
                .map_err(io::Error::from)
                .and_then(|()| create(&self.folder, self.log.name)),
            // Another run of the machine has begun; what has this name is that one's.
            Ok(false) => Err(io::ErrorKind::AlreadyExists.into()),
            Err(error) => Err(error),
        };
        match begun {
            Ok(file) => self.file = file,
            // Nor if the folder is gone. The file is in append mode, so it starts again at its beginning.
            Err(_) => drop(self.file.set_len(0)),
        }
    }

    fn is_in_its_place(&self) -> io::Result<bool> {
        let (own, there) = (
            fstat(&self.file)?,
            statat(&self.folder, self.log.name, AtFlags::SYMLINK_NOFOLLOW)?,
        );
        Ok((own.st_dev, own.st_ino) == (there.st_dev, there.st_ino))
    }
}

fn create(folder: &OwnedFd, name: &str) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    Ok(openat(folder, name, flags, Mode::RUSR | Mode::WUSR)?.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const LOG: Log = Log {
        name: "log",
        older: "log.1",
        limit: 4,
    };

    #[test]
    fn a_run_that_is_not_over_writes_nothing_into_the_next_ones_log() {
        let root = tempfile::tempdir().unwrap();
        let folder = || File::open(root.path()).unwrap().into();
        let read = |name: &str| fs::read_to_string(root.path().join(name)).unwrap_or_default();
        let mut earlier = Kept::begin(folder(), LOG).unwrap();
        earlier.add(b"one");
        let mut later = Kept::begin(folder(), LOG).unwrap();
        later.add(b"two");
        earlier.add(b"and a half, and more");
        assert_eq!((read("log"), read("log.1")), ("two".into(), String::new()));
        later.add(b"three");
        assert_eq!((read("log"), read("log.1")), ("hree".into(), "twot".into()));
    }
}
