//! Following a log that is being written, over its turn-overs and over new runs of the machine.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::read::{is_same, open};
use super::{Log, LogKind};

/// Most bytes of one piece.
const PIECE: u64 = 64 << 10;

/// A reader of a log, from the beginning of what is kept. It never waits: who follows asks again.
#[derive(Debug)]
pub struct Follower {
    folder: PathBuf,
    log: Log,
    /// Files to read, oldest first; the last may still grow.
    files: VecDeque<File>,
}

impl Follower {
    /// A reader of this log of the machine in `folder`.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>, kind: LogKind) -> Self {
        Self {
            folder: folder.into(),
            log: kind.log(),
            files: VecDeque::new(),
        }
    }

    /// What comes next, a piece of at most 64 KiB; empty if there is nothing new. What was turned over twice since the
    /// last call is lost.
    ///
    /// # Errors
    /// What the system says.
    pub fn read(&mut self) -> io::Result<Vec<u8>> {
        loop {
            // Looked for before the end is: what was written to a file before another took its place is read first.
            let next = self.next_files()?;
            let mut piece = Vec::new();
            if let Some(file) = self.files.front_mut() {
                file.take(PIECE).read_to_end(&mut piece)?;
            }
            if !piece.is_empty() {
                return Ok(piece);
            }
            if self.files.len() > 1 {
                self.files.pop_front();
            } else if next.is_empty() {
                return Ok(Vec::new());
            } else {
                self.files = next.into();
            }
        }
    }

    /// The files that have begun since the last known one did.
    fn next_files(&self) -> io::Result<Vec<File>> {
        let path = |name: &str| -> PathBuf { Path::new(&self.folder).join(name) };
        let newer = open(&path(self.log.name))?;
        let older = open(&path(self.log.older))?;
        let known = self.files.back();
        if is_same(newer.as_ref(), known)? || is_same(newer.as_ref(), older.as_ref())? {
            return Ok(Vec::new());
        }
        let older = match known {
            Some(_) if is_same(older.as_ref(), known)? => None,
            _ => older,
        };
        // An older one alone is a turn-over in its middle, or a log that has ended.
        match (&newer, known) {
            (None, Some(_)) => Ok(Vec::new()),
            _ => Ok([older, newer].into_iter().flatten().collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::*;

    fn append(path: &Path, text: &str) {
        let mut file = File::options().create(true).append(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn all(follower: &mut Follower) -> String {
        let mut text = Vec::new();
        loop {
            let piece = follower.read().unwrap();
            if piece.is_empty() {
                return String::from_utf8(text).unwrap();
            }
            text.extend(piece);
        }
    }

    #[test]
    fn nothing_is_lost_over_a_turn_over_and_a_new_run_follows() {
        let folder = tempfile::tempdir().unwrap();
        let (newer, older) = (
            folder.path().join("console.log"),
            folder.path().join("console.log.1"),
        );
        let mut follower = Follower::new(folder.path(), LogKind::Console);
        assert_eq!(all(&mut follower), "");
        append(&older, "one ");
        append(&newer, "two ");
        assert_eq!(all(&mut follower), "one two ");
        assert_eq!(all(&mut follower), "");
        append(&newer, "three ");
        fs::rename(&newer, &older).unwrap();
        append(&newer, "four ");
        assert_eq!(all(&mut follower), "three four ");
        // Another run: the old files are gone.
        fs::remove_file(&newer).unwrap();
        fs::remove_file(&older).unwrap();
        assert_eq!(all(&mut follower), "");
        append(&newer, "again");
        assert_eq!(all(&mut follower), "again");
        assert_eq!(all(&mut follower), "");
    }

    #[test]
    fn a_long_log_comes_in_pieces() {
        let folder = tempfile::tempdir().unwrap();
        append(&folder.path().join("vmm.log"), &"x".repeat(200_000));
        let mut follower = Follower::new(folder.path(), LogKind::Vmm);
        assert_eq!(follower.read().unwrap().len(), 64 << 10);
        assert_eq!(all(&mut follower).len(), 200_000 - (64 << 10));
    }
}
