//! That a patch is being applied, noted in a folder of the user's: where the stage lies, which folder it is, and the plan.
//!
//! The stage lies beside the working tree, where anything may lie that came with the repository. So nothing in it is
//! believed for its name or its looks: what a record says is this program's own word, and the stage is known by a number
//! drawn by chance, which stands in the record and in the stage. (Those of its file system are others once that is mounted
//! again.) Notes are the user's own business, written and read with the user's own rights.
//!
//! ```text
//! banger apply 3
//! stage NUMBER PATH
//! the plan
//! ```

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use process::FileRights;
use rustix::fs::{Mode, OFlags, Stat, fstat, fsync, open, openat, renameat};
use rustix::process::geteuid;
use rustix::rand::{GetRandomFlags, getrandom};
use tempfile::NamedTempFile;

use super::plan::Plan;

const FIRST: &[u8] = b"banger apply 3";
/// The file in a stage that holds its number, and how many bytes that has.
const NUMBER: &str = "number";
/// What that is called once nothing is to be put back any more: a name takes no room on a full disk, and is changed on
/// the disk of the tree, at once with all that was changed there.
const DONE: &str = "done";
const NUMBER_LENGTH: usize = 32;
/// How the names of records begin.
const PREFIX: &str = "apply-";

/// Most bytes of one that is read.
const LARGEST: u64 = 256 << 20;

/// The note of one stage. Dropped, it is taken away.
#[derive(Debug)]
pub(super) struct Record {
    path: PathBuf,
    pub(super) stage: PathBuf,
    number: String,
    kept: bool,
}

impl Record {
    /// Notes a stage that was just made, and that nothing has been changed yet.
    pub(super) fn begin(folder: &Path, stage: &Path) -> io::Result<Self> {
        let number = drawn()?;
        let mut file = File::from(openat(
            open_folder(stage)?,
            NUMBER,
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::RUSR | Mode::WUSR,
        )?);
        file.write_all(number.as_bytes())?;
        file.sync_data()?;
        let _own = FileRights::own();
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let name = tempfile::Builder::new()
            .prefix(PREFIX)
            .rand_bytes(16)
            .tempfile_in(folder)?;
        let (_, path) = name.keep().map_err(|error| error.error)?;
        let record = Self {
            path,
            stage: stage.to_owned(),
            number,
            kept: false,
        };
        record.write(&Plan::default(), false)?;
        Ok(record)
    }

    /// Notes what is about to be done, so that it is there after a crash of the host, too.
    pub(super) fn note(&self, plan: &Plan) -> io::Result<()> {
        self.write(plan, true)
    }

    fn write(&self, plan: &Plan, synced: bool) -> io::Result<()> {
        let _own = FileRights::own();
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        let mut file = NamedTempFile::new_in(folder)?;
        file.write_all(&self.encode(plan))?;
        if synced {
            file.as_file().sync_data()?;
        }
        file.persist(&self.path)?;
        if synced {
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    }

    /// Leaves the note to the next that looks.
    pub(super) fn keep(mut self) {
        self.kept = true;
    }

    /// All notes in a folder, those that nobody can read left out.
    pub(super) fn all(folder: &Path) -> io::Result<Vec<(Self, Plan)>> {
        let _own = FileRights::own();
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut all = Vec::new();
        for entry in entries {
            let entry = entry?;
            if entry.file_name().as_bytes().starts_with(PREFIX.as_bytes()) {
                all.extend(Self::read(&entry.path())?);
            }
        }
        Ok(all)
    }

    fn read(path: &Path) -> io::Result<Option<(Self, Plan)>> {
        let mut text = Vec::new();
        match File::open(path) {
            Ok(file) => file.take(LARGEST).read_to_end(&mut text)?,
            // Done meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(Self::decode(path, &text))
    }

    /// The stage at a path, if it is the folder that was noted and this user's own.
    pub(super) fn open_stage(&self, path: &Path) -> io::Result<Option<OwnedFd>> {
        let Ok(opened) = open_folder(path) else {
            return Ok(None);
        };
        let found: Stat = fstat(opened.as_fd())?;
        let own = found.st_uid == geteuid().as_raw() || geteuid().is_root();
        let known = [NUMBER, DONE]
            .into_iter()
            .any(|name| self.is_called(opened.as_fd(), name));
        Ok((own && known).then_some(opened))
    }

    /// Whether nothing of a stage is to be put back.
    pub(super) fn is_done(&self, stage: BorrowedFd<'_>) -> bool {
        self.is_called(stage, DONE)
    }

    fn is_called(&self, stage: BorrowedFd<'_>, name: &str) -> bool {
        number_in(stage, name).as_deref() == Some(self.number.as_bytes())
    }

    fn encode(&self, plan: &Plan) -> Vec<u8> {
        let mut text = FIRST.to_vec();
        text.push(0);
        text.extend_from_slice(format!("stage {} ", self.number).as_bytes());
        text.extend_from_slice(self.stage.as_os_str().as_bytes());
        text.push(0);
        text.extend(plan.encode());
        text
    }

    fn decode(path: &Path, text: &[u8]) -> Option<(Self, Plan)> {
        let rest = text.strip_prefix(FIRST)?.strip_prefix(b"\0stage ")?;
        let end = rest.iter().position(|byte| *byte == 0)?;
        let (words, plan) = (&rest[..end], &rest[end + 1..]);
        let mut words = words.splitn(2, |byte| *byte == b' ');
        let number = String::from_utf8(words.next()?.to_vec()).ok()?;
        if number.len() != NUMBER_LENGTH {
            return None;
        }
        let stage = PathBuf::from(std::ffi::OsStr::from_bytes(words.next()?));
        let record = Self {
            path: path.to_owned(),
            stage,
            number,
            // Whoever reads it says when it is done.
            kept: true,
        };
        Some((record, Plan::decode(plan)?))
    }

    /// Takes a note away that was read.
    pub(super) fn forget(mut self) {
        self.kept = false;
    }

    /// Takes the note away.
    ///
    /// # Errors
    /// It stays there.
    pub(super) fn remove(&self) -> io::Result<()> {
        let _own = FileRights::own();
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Says of a stage that nothing of it is to be put back, also after a crash of the host.
pub(super) fn finish(stage: BorrowedFd<'_>) -> io::Result<()> {
    renameat(stage, NUMBER, stage, DONE)?;
    fsync(stage)?;
    Ok(())
}

impl Drop for Record {
    fn drop(&mut self) {
        if !self.kept {
            let _ = self.remove();
        }
    }
}

/// A number that nobody foresees, as text.
fn drawn() -> io::Result<String> {
    let mut bytes = [0; NUMBER_LENGTH / 2];
    getrandom(&mut bytes, GetRandomFlags::empty())?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The number that stands in a file of a folder, over no link.
fn number_in(folder: BorrowedFd<'_>, name: &str) -> Option<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(openat(folder, name, flags, Mode::empty()).ok()?);
    let mut text = Vec::new();
    file.take(NUMBER_LENGTH as u64 + 1).read_to_end(&mut text).ok()?;
    Some(text)
}

fn open_folder(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(open(path, flags, Mode::empty())?)
}
