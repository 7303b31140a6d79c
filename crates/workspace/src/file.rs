//! A single file of a repository's, for whoever has to know what it says before anything goes.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;

use crate::error::WorkspaceError;
use crate::repository::Repository;

impl Repository {
    /// Reads a file at the working tree's top, or the one that a commit has there. Nothing if there is none.
    ///
    /// # Errors
    /// It is a link or no file, is larger than `limit` bytes, or cannot be read.
    pub fn read(
        &self,
        name: &str,
        from: Option<&str>,
        limit: u64,
    ) -> Result<Option<Vec<u8>>, WorkspaceError> {
        let _rights = self.rights()?;
        let path = self.top.join(name);
        let bytes = match from {
            Some(reference) => self.committed(name, reference)?,
            None => in_tree(&path, limit)?,
        };
        match bytes {
            Some(bytes) if bytes.len() as u64 > limit => Err(WorkspaceError::NoFile {
                path,
                why: format!("is larger than {} KiB", limit >> 10),
            }),
            bytes => Ok(bytes),
        }
    }

    fn committed(&self, name: &str, reference: &str) -> Result<Option<Vec<u8>>, WorkspaceError> {
        let commit = self.resolve(reference)?;
        let listed = self.git.read(
            "look for a file",
            ["ls-tree", "-z", "--full-tree", &commit, "--", name],
        )?;
        let listed = String::from_utf8_lossy(&listed);
        let Some((words, _)) = listed.split_once('\t') else {
            return Ok(None);
        };
        match words.split(' ').collect::<Vec<_>>()[..] {
            ["100644" | "100755", "blob", id] => {
                self.git.read("read a file", ["cat-file", "blob", id]).map(Some)
            }
            _ => Err(no_file(&self.top.join(name))),
        }
    }
}

fn in_tree(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, WorkspaceError> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::LOOP) => return Err(no_file(path)),
        Err(errno) => {
            return Err(WorkspaceError::host("read", path.display().to_string())(
                errno.into(),
            ));
        }
    };
    let cannot = |source| WorkspaceError::host("read", path.display().to_string())(source);
    if !file.metadata().map_err(cannot)?.is_file() {
        return Err(no_file(path));
    }
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|source| WorkspaceError::host("read", path.display().to_string())(source))?;
    Ok(Some(bytes))
}

fn no_file(path: &Path) -> WorkspaceError {
    WorkspaceError::NoFile {
        path: path.to_owned(),
        why: "is a link, or no file".to_owned(),
    }
}
