//! What is asked of a guest: to run a script of ours with its own sh and git, and to unpack a stream.
//!
//! Values are arguments of the scripts and never part of their text. What a guest answers is bounded, and nothing on
//! the host follows from it but what it prints: errors, names of files, a patch.

use std::io::{self, Read, Write};

use process::FileRights;

use crate::error::{WorkspaceError, shown, shown_in_part};
use crate::git::said;
use crate::parcel::Parcel;

/// Begins each script.
const COMMON: &str = include_str!("common.sh");

/// Exit codes of the scripts: no git; something lies there; no workspace of ours; work in the way; no such base; no
/// commit; not what this script is for; no such user.
const NO_GIT: i32 = 90;
const OCCUPIED: i32 = 91;
const LOST: i32 = 92;
const WORK: i32 = 93;
const NO_BASE: i32 = 94;
const NO_COMMIT: i32 = 95;
const OTHERWISE: i32 = 96;
const NO_USER: i32 = 97;

/// Most bytes of a list that a guest answers with.
const ANSWER: usize = 1 << 20;

/// How a command in the guest ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// Its exit code; 128+n for a signal.
    pub code: i32,
    /// The end of what it wrote to stderr; a few KiB are enough.
    pub stderr: Vec<u8>,
}

/// What a command in the guest reads.
pub type Input = Box<dyn Read + Send>;

/// A way into a guest.
pub trait Guest {
    /// Runs a command with `input` on its stdin; what it prints goes to `output`. An error of `output` ends it.
    ///
    /// # Errors
    /// It did not run to its end.
    fn run(&mut self, argv: &[String], input: Input, output: &mut dyn Write) -> io::Result<Ended>;

    /// Unpacks a parcel's tar stream into a folder that is there: all of it, or nothing under its name.
    ///
    /// # Errors
    /// What the parcel failed with, or the guest refused.
    fn unpack(&mut self, folder: &str, parcel: Parcel) -> Result<(), WorkspaceError>;
}

/// A script, by what it does.
pub(crate) struct Script {
    action: &'static str,
    text: &'static str,
}

/// Makes ready and takes objects.
pub(crate) const RECEIVE: Script = Script {
    action: "receive the repository",
    text: include_str!("receive.sh"),
};
/// Takes away what was received.
pub(crate) const DROP: Script = Script {
    action: "clean up",
    text: include_str!("drop.sh"),
};
/// Brings files up to date where nothing else changed.
pub(crate) const EDIT: Script = Script {
    action: "bring the workspace up to date",
    text: concat!(include_str!("in_the_way.sh"), include_str!("edit.sh")),
};
/// Makes the workspace from what was received.
pub(crate) const FINISH: Script = Script {
    action: "check the workspace out",
    text: concat!(include_str!("in_the_way.sh"), include_str!("finish.sh")),
};
/// Prints a patch.
pub(crate) const EXPORT: Script = Script {
    action: "read the workspace",
    text: include_str!("export.sh"),
};

/// Gives it to a user of the guest's.
pub(crate) const OWN: Script = Script {
    action: "give the workspace to its user",
    text: include_str!("own.sh"),
};

/// Prints what was made there.
pub(crate) const UNSAVED: Script = Script {
    action: "look for work",
    text: include_str!("unsaved.sh"),
};

/// Prints commits.
pub(crate) const PULL: Script = Script {
    action: "read the commits",
    text: include_str!("pull.sh"),
};

impl Script {
    /// Runs it; the first argument is the workspace's folder.
    pub(crate) fn run(
        &self,
        guest: &mut dyn Guest,
        arguments: &[&str],
        input: Input,
        output: &mut dyn Write,
    ) -> Result<(), WorkspaceError> {
        let done = self.attempt(guest, arguments, input, output)?;
        if !done {
            return Err(WorkspaceError::InGuest {
                action: self.action,
                said: "it is not what it was".to_owned(),
            });
        }
        Ok(())
    }

    /// The same, where it may be that another way has to be gone: then nothing was changed, and this is false.
    pub(crate) fn attempt(
        &self,
        guest: &mut dyn Guest,
        arguments: &[&str],
        input: Input,
        output: &mut dyn Write,
    ) -> Result<bool, WorkspaceError> {
        let mut argv = vec![
            "sh".to_owned(),
            "-c".to_owned(),
            format!("{COMMON}{}", self.text),
            "banger".to_owned(),
        ];
        argv.extend(arguments.iter().map(|&argument| argument.to_owned()));
        let path = arguments.first().copied().unwrap_or_default().to_owned();
        let mut answer = Kept {
            output,
            work: Vec::new(),
        };
        // The way there is the user's own.
        let own = FileRights::own();
        let ended = guest
            .run(&argv, input, &mut answer)
            .map_err(|source| WorkspaceError::Guest {
                action: self.action,
                source,
            })?;
        drop(own);
        Err(match ended.code {
            0 => return Ok(true),
            OTHERWISE => return Ok(false),
            NO_GIT => WorkspaceError::NoGitInGuest,
            OCCUPIED => WorkspaceError::Occupied { path },
            LOST => WorkspaceError::Lost { path },
            WORK => WorkspaceError::GuestWork {
                files: names(&answer.work),
            },
            NO_BASE => WorkspaceError::NoBase {
                base: arguments.get(1).copied().unwrap_or_default().to_owned(),
            },
            NO_COMMIT => WorkspaceError::NoCommit,
            NO_USER => WorkspaceError::NoSuchUser {
                user: shown(arguments.get(1).copied().unwrap_or_default().as_bytes()),
            },
            _ => WorkspaceError::InGuest {
                action: self.action,
                said: said(&ended.stderr),
            },
        })
    }
}

/// Passes on what a script prints, and keeps its beginning.
struct Kept<'a> {
    output: &'a mut dyn Write,
    work: Vec<u8>,
}

impl Write for Kept<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = ANSWER.saturating_sub(self.work.len()).min(bytes.len());
        self.work.extend_from_slice(&bytes[..room]);
        self.output.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

fn names(list: &[u8]) -> Vec<String> {
    list.split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .map(shown_in_part)
        .collect()
}
