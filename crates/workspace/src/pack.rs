//! The objects that a guest lacks, as git packs them: a stream, no file on the host.

use std::io::{PipeReader, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use process::Child;

use crate::digest::Format;
use crate::error::WorkspaceError;
use crate::git::{first_of, said, status};
use crate::guest::Input;
use crate::index::{Index, Indexer, Watched};
use crate::prepare::Prepared;
use crate::repository::Repository;
use crate::selection::{Mode, Selection};

/// How long a git whose pack nobody reads on may take to end.
const ENDING: Duration = Duration::from_secs(3);

/// A git that packs.
pub(crate) struct Pack {
    child: Child,
    complaint: JoinHandle<Vec<u8>>,
    indexer: Option<Arc<Mutex<Indexer>>>,
}

/// What a pack came to.
pub(crate) enum Packed {
    /// All of it went, for the guest to make an index of.
    Whole,
    /// All of it went, and this is its index.
    Indexed(Index),
    /// It was not read to its end.
    Unread,
}

impl Pack {
    /// Packs what a guest needs that was given `before`; nothing if that is all it needs. Gives the stream too.
    ///
    /// A commit alone goes as whole objects with an index of our making, a history with deltas, which only git resolves.
    pub(crate) fn of(
        repository: &Repository,
        selection: &Selection,
        before: Option<&Prepared>,
        format: Format,
    ) -> Result<Option<(Self, Input)>, WorkspaceError> {
        let commit = selection.commit.as_deref();
        // A history is not there where the guest was given commits alone.
        let whole = |before: &&Prepared| before.full || selection.mode != Mode::Full;
        let had = before.filter(whole).and_then(|before| before.commit.as_deref());
        // A history that was rewritten, or another clone at that path, may have lost it: nothing is left out by it then.
        let had = match had.filter(|had| Some(*had) != commit) {
            Some(lost) if !repository.has_commit(lost)? => None,
            _ => had,
        };
        if commit.is_none_or(|commit| had == Some(commit)) && selection.blobs.is_empty() {
            return Ok(None);
        }
        let mut wanted = String::new();
        if let Some(commit) = commit {
            if selection.mode != Mode::Full {
                wanted.push_str(&format!("--shallow {commit}\n"));
            }
            wanted.push_str(&format!("{commit}\n"));
        }
        for blob in &selection.blobs {
            wanted.push_str(&format!("{blob}\n"));
        }
        if let Some(had) = had {
            if selection.mode != Mode::Full {
                wanted.push_str(&format!("--shallow {had}\n"));
            }
            wanted.push_str(&format!("--not\n{had}\n"));
        }
        let mut git = repository.git.clone();
        // Between two processes of one machine, looking for deltas costs more than the bytes that it saves; those
        // that the repository has are taken over.
        git.set("pack.window", "0");
        git.set("pack.compression", "1");
        let format = Some(format).filter(|_| selection.mode != Mode::Full);
        let mut arguments = vec!["pack-objects", "--revs", "--stdout", "-q"];
        if selection.mode == Mode::Metadata {
            arguments.push("--filter=blob:none");
        }
        if selection.mode != Mode::Metadata && selection.promisor.is_some() {
            // What was found missing is what the guest does without.
            arguments.push("--missing=allow-any");
        }
        if format.is_some() {
            arguments.push("--no-reuse-delta");
            // Parts of packs with bitmaps would be taken as they are, deltas and all.
            git.set("pack.useBitmaps", "false");
            git.set("pack.allowPackReuse", "false");
        } else {
            arguments.push("--delta-base-offset");
            arguments.extend(had.map(|_| "--thin"));
        }
        let mut child = git.spawn(arguments)?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        std::thread::spawn(move || stdin.map(|mut stdin| stdin.write_all(wanted.as_bytes())));
        let complaint = std::thread::spawn(move || first_of(stderr, 4096));
        let indexer = format.map(|format| Arc::new(Mutex::new(Indexer::new(format))));
        let stream = stdout.map(|stdout| stream(stdout, indexer.clone()));
        let stream = stream.unwrap_or_else(|| Box::new(std::io::empty()));
        let pack = Self {
            child,
            complaint,
            indexer,
        };
        Ok(Some((pack, stream)))
    }

    /// Whether an index is made of it here.
    pub(crate) fn is_indexed(&self) -> bool {
        self.indexer.is_some()
    }

    /// Waits for its end, once the stream was read or dropped. Where the guest is no longer there to read (`wanted`), a git
    /// that has more to do is ended.
    pub(crate) fn finish(mut self, wanted: bool) -> Result<Packed, WorkspaceError> {
        // One that failed is just ending: what it says of that is the reason.
        if !wanted && !matches!(self.child.wait_for(ENDING), Ok(Some(_))) {
            self.child.kill();
        }
        let status = status(self.child.wait().map_err(WorkspaceError::NoGit)?);
        let complaint = self.complaint.join().unwrap_or_default();
        // Nobody took the stream: the one who did not says why.
        let unread =
            status.code().is_none() || complaint.is_empty() || said(&complaint).contains("Broken pipe");
        if !status.success() && !unread {
            return Err(failed(said(&complaint)));
        }
        let Some(indexer) = self.indexer else {
            return Ok(if status.success() {
                Packed::Whole
            } else {
                Packed::Unread
            });
        };
        let mut indexer = indexer.lock().unwrap_or_else(PoisonError::into_inner);
        match (status.success(), indexer.index()) {
            (true, Some(index)) => Ok(Packed::Indexed(index)),
            (_, None) if indexer.refused().is_some() => {
                Err(failed(indexer.refused().unwrap_or_default().to_owned()))
            }
            _ => Ok(Packed::Unread),
        }
    }
}

fn failed(said: String) -> WorkspaceError {
    WorkspaceError::Git {
        action: "pack the objects",
        said,
    }
}

fn stream(stdout: PipeReader, indexer: Option<Arc<Mutex<Indexer>>>) -> Input {
    match indexer {
        Some(indexer) => Box::new(Watched {
            pack: stdout,
            indexer,
        }),
        None => Box::new(stdout),
    }
}
