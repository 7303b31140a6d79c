//! The objects that a guest lacks, as git packs them: a stream, no file on the host.

use std::io::{Read, Write};
use std::process::{Child, ChildStderr};
use std::thread::JoinHandle;

use crate::error::WorkspaceError;
use crate::git::said;
use crate::guest::Input;
use crate::repository::Repository;
use crate::selection::{Mode, Selection};

/// A git that packs.
pub(crate) struct Pack {
    child: Child,
    complaint: JoinHandle<Vec<u8>>,
}

impl Pack {
    /// Packs what a guest needs that already has `had`; nothing if that is all it needs. Gives the stream too.
    pub(crate) fn of(
        repository: &Repository,
        selection: &Selection,
        had: Option<&str>,
    ) -> Result<Option<(Self, Input)>, WorkspaceError> {
        let commit = selection.commit.as_deref();
        if commit.is_none_or(|commit| had == Some(commit)) && selection.blobs.is_empty() {
            return Ok(None);
        }
        let mut wanted = String::new();
        if let Some(commit) = commit {
            if selection.mode == Mode::Shallow {
                wanted.push_str(&format!("--shallow {commit}\n"));
            }
            wanted.push_str(&format!("{commit}\n"));
        }
        for blob in &selection.blobs {
            wanted.push_str(&format!("{blob}\n"));
        }
        if let Some(had) = had {
            if selection.mode == Mode::Shallow {
                wanted.push_str(&format!("--shallow {had}\n"));
            }
            wanted.push_str(&format!("--not\n{had}\n"));
        }
        let mut git = repository.git.clone();
        // Between two processes of one machine, looking for deltas costs more than the bytes that it saves; those
        // that the repository has are taken over.
        git.set("pack.window", "0");
        git.set("pack.compression", "1");
        let mut arguments = vec!["pack-objects", "--revs", "--stdout", "-q", "--delta-base-offset"];
        if had.is_some() {
            arguments.push("--thin");
        }
        let mut child = git.spawn(arguments)?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        std::thread::spawn(move || stdin.map(|mut stdin| stdin.write_all(wanted.as_bytes())));
        let complaint = std::thread::spawn(move || first_of(stderr));
        let stream: Input = match stdout {
            Some(stdout) => Box::new(stdout),
            None => Box::new(std::io::empty()),
        };
        Ok(Some((Self { child, complaint }, stream)))
    }

    /// Waits for its end, once the stream was read or dropped. Whether it was read to its end.
    pub(crate) fn finish(mut self) -> Result<bool, WorkspaceError> {
        let status = self.child.wait().map_err(WorkspaceError::NoGit)?;
        let complaint = self.complaint.join().unwrap_or_default();
        // Nobody took the stream: the one who did not says why.
        let unread =
            status.code().is_none() || complaint.is_empty() || said(&complaint).contains("Broken pipe");
        match (status.success(), unread) {
            (true, _) => Ok(true),
            (false, true) => Ok(false),
            (false, false) => Err(WorkspaceError::Git {
                action: "pack the objects",
                said: said(&complaint),
            }),
        }
    }
}

/// The beginning of what a program complains of; the rest is read and dropped.
fn first_of(stderr: Option<ChildStderr>) -> Vec<u8> {
    let mut first = Vec::new();
    if let Some(mut stderr) = stderr {
        // A complaint that cannot be read is an empty one.
        let _ = (&mut stderr).take(4096).read_to_end(&mut first);
        let _ = std::io::copy(&mut stderr, &mut std::io::sink());
    }
    first
}
