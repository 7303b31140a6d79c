//! What a swap is about to do, written down among the user's notes: whoever finds it after the program was killed can
//! make the tree what it was.
//!
//! Records, each ended by a NUL; numbers are decimal, a path is the rest:
//!
//! ```text
//! was MODE PATH                   a folder that is there
//! not PATH                        a folder that will be made
//! file HAD MADE PATH              HAD: 1 or 0, whether there is a file; MADE: the staged one's identity, or -
//! end
//! ```

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, CWD, FileType, Mode, Stat, statat};
use rustix::io::Errno;

use super::stage::{Outcome, Stage, parent};
use crate::error::{WorkspaceError, shown};
use crate::patch::name;

const LAST: &[u8] = b"end";

/// What tells a file from another that took its place, or from itself once changed: inode, size, time of the last
/// change, rights. A rename leaves all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity([i64; 5]);

impl Identity {
    pub(super) fn of(stat: &Stat) -> Self {
        Self([
            stat.st_ino.cast_signed(),
            stat.st_size,
            stat.st_mtime,
            stat.st_mtime_nsec.cast_signed(),
            stat.st_mode.into(),
        ])
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let mut numbers = [0; 5];
        let mut parts = std::str::from_utf8(text).ok()?.split(',');
        for number in &mut numbers {
            *number = parts.next()?.parse().ok()?;
        }
        parts.next().is_none().then_some(Self(numbers))
    }
}

impl std::fmt::Display for Identity {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self([inode, size, seconds, nanoseconds, mode]) = self;
        write!(formatter, "{inode},{size},{seconds},{nanoseconds},{mode}")
    }
}

/// One path of a patch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct File {
    pub(super) path: Vec<u8>,
    /// Whether a file is there, to be kept in the stage under the entry's number.
    pub(super) had: bool,
    /// The staged file that goes there.
    pub(super) made: Option<Identity>,
}

/// All that a swap does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// The folders that the paths lie in, outer ones first: their rights, or none where there is no folder.
    pub(super) folders: BTreeMap<Vec<u8>, Option<Mode>>,
    pub(super) files: Vec<File>,
}

impl Plan {
    /// What putting these outcomes into the tree does.
    pub(super) fn of(stage: &Stage, outcomes: &[Outcome]) -> Result<Self, WorkspaceError> {
        let mut plan = Self::default();
        for outcome in outcomes {
            let path = &outcome.original.path;
            let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
            for (slash, _) in slashes {
                let folder = &path[..slash];
                if !plan.folders.contains_key(folder) {
                    plan.folders
                        .insert(folder.to_vec(), rights(stage.top.as_fd(), folder)?);
                }
            }
            let made = outcome.made.then(|| {
                let staged = statat(CWD, stage.new_path(path), AtFlags::SYMLINK_NOFOLLOW);
                staged.map(|stat| Identity::of(&stat))
            });
            plan.files.push(File {
                path: path.clone(),
                had: outcome.original.stat.is_some(),
                made: made
                    .transpose()
                    .map_err(|errno| WorkspaceError::host("read", shown(path))(errno.into()))?,
            });
        }
        Ok(plan)
    }

    /// As text.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut text = Vec::new();
        let mut record = |words: &[u8], path: &[u8]| {
            text.extend_from_slice(words);
            text.extend_from_slice(path);
            text.push(0);
        };
        for (path, rights) in &self.folders {
            match rights {
                Some(mode) => record(format!("was {} ", mode.bits()).as_bytes(), path),
                None => record(b"not ", path),
            }
        }
        for File { path, had, made } in &self.files {
            let made = made.map_or_else(|| "-".to_owned(), |made| made.to_string());
            record(format!("file {} {made} ", u8::from(*had)).as_bytes(), path);
        }
        record(LAST, b"");
        text
    }

    /// Whole and of our form, or nothing.
    pub(super) fn decode(text: &[u8]) -> Option<Self> {
        let mut records = text.strip_suffix(b"\0")?.split(|byte| *byte == 0);
        let mut plan = Self::default();
        let sound = |path: &[u8]| name::check(path).is_ok().then(|| path.to_vec());
        loop {
            let record = records.next()?;
            let mut words = record.splitn(4, |byte| *byte == b' ');
            match words.next()? {
                b"was" => {
                    let (mode, path) = split(record.strip_prefix(b"was ")?)?;
                    let mode = std::str::from_utf8(mode).ok()?.parse().ok()?;
                    plan.folders.insert(sound(path)?, Some(Mode::from_raw_mode(mode)));
                }
                b"not" => {
                    plan.folders.insert(sound(record.strip_prefix(b"not ")?)?, None);
                }
                b"file" => {
                    let had = match words.next()? {
                        b"0" => false,
                        b"1" => true,
                        _ => return None,
                    };
                    let made = match words.next()? {
                        b"-" => None,
                        identity => Some(Identity::parse(identity)?),
                    };
                    let path = sound(words.next()?)?;
                    plan.files.push(File { path, had, made });
                }
                LAST if record == LAST => return records.next().is_none().then_some(plan),
                _ => return None,
            }
        }
    }
}

fn split(words: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = words.iter().position(|byte| *byte == b' ')?;
    Some((&words[..space], &words[space + 1..]))
}

/// The rights of a folder; none if there is none.
fn rights(top: BorrowedFd<'_>, path: &[u8]) -> Result<Option<Mode>, WorkspaceError> {
    let Some((folder, name)) = parent(top, path, false)? else {
        return Ok(None);
    };
    match statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
            Ok(Some(Mode::from_raw_mode(stat.st_mode)))
        }
        Ok(_) | Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(WorkspaceError::host("read", shown(path))(errno.into())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plan() -> Plan {
        let file = |path: &[u8], had, made: Option<[i64; 5]>| File {
            path: path.to_vec(),
            had,
            made: made.map(Identity),
        };
        Plan {
            folders: [
                (b"src".to_vec(), Some(Mode::from_raw_mode(0o40755))),
                (b"src/new folder".to_vec(), None),
            ]
            .into(),
            files: vec![
                file(b"src/a b\n\xff", true, Some([i64::MIN, 2, 3, 4, i64::MAX])),
                file(b"gone", true, None),
                file(b"src/new folder/x", false, Some([1, 2, 3, 4, 5])),
            ],
        }
    }

    #[test]
    fn a_plan_is_read_as_it_was_written() {
        let mut text = plan().encode();
        assert_eq!(Plan::decode(&text), Some(plan()));
        while text.pop().is_some() {
            assert_eq!(Plan::decode(&text), None);
        }
    }

    #[test]
    fn a_plan_that_leads_out_of_the_tree_or_into_the_repository_is_none() {
        for record in [
            "not ../up",
            "not /etc",
            "was 16877 .git",
            "file 1 - .git/hooks/pre-commit",
            "file 1 - a/../../b",
            "file 0 1,2,3,4,5 GIT~1/config",
            "file 2 - a",
            "file 1 1,2,3,4 a",
            "file 1 - ",
            "else",
        ] {
            let text = format!("{record}\0end\0");
            assert_eq!(Plan::decode(text.as_bytes()), None, "{record}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_reading_a_plan_panic(
            record in "(was|not|file|end)( [-0-9,]{1,12}){0,3} ?[ -~\0]{0,20}",
            end in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let text = [record.as_bytes(), &end, b"\0end\0"].concat();
            if let Some(plan) = Plan::decode(&text) {
                prop_assert_eq!(Plan::decode(&plan.encode()), Some(plan));
            }
        }
    }
}
