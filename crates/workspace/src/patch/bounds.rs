//! How much a guest's patch may come to, as text and as what git makes of it in memory.

use crate::error::{WorkspaceError, shown};

/// Most bytes of a patch's text, which git reads into memory whole.
pub const LARGEST_TEXT: u64 = 256 << 20;

/// Most bytes that git takes beside the text, by the measures below.
pub const LARGEST_MEMORY: u64 = 512 << 20;

/// Bytes that git takes for each file, hunk and line (2.47, with some room), and for a byte of binary data: as it is
/// unpacked, and as the file that it becomes.
pub(super) const OF_A_FILE: u64 = 640;
pub(super) const OF_A_HUNK: u64 = 160;
pub(super) const OF_A_LINE: u64 = 40;
pub(super) const OF_A_BYTE: u64 = 2;

/// Most files of a patch, or changes of commits.
const FILES: u64 = 250_000;
/// Most bytes of all their paths, and of all folders that these lie in.
const NAMES: u64 = 96 << 20;

/// What is left of [`LARGEST_MEMORY`].
#[derive(Default)]
pub(super) struct Budget {
    spent: u64,
}

impl Budget {
    /// Counts what is taken for a file.
    ///
    /// # Errors
    /// [`WorkspaceError::TooMuch`] once that is more than there is.
    pub(super) fn spend(&mut self, bytes: u64, path: &[u8]) -> Result<(), WorkspaceError> {
        self.spent = self.spent.saturating_add(bytes);
        if self.spent > LARGEST_MEMORY {
            return Err(WorkspaceError::TooMuch {
                what: "patch",
                bytes: self.spent,
                at: format!("`{}`", shown(path)),
                limit: LARGEST_MEMORY,
            });
        }
        Ok(())
    }
}

/// How many files there are, and how long their paths.
#[derive(Default)]
pub(super) struct Count {
    files: u64,
    names: u64,
}

impl Count {
    /// Counts a path.
    pub(super) fn add(&mut self, path: &[u8]) -> Result<(), &'static str> {
        let levels = path.iter().filter(|byte| **byte == b'/').count() as u64 + 1;
        self.files += 1;
        self.names = self
            .names
            .saturating_add(levels.saturating_mul(path.len() as u64));
        if self.files > FILES {
            return Err("is one file too many");
        }
        if self.names > NAMES {
            return Err("makes the paths too long together");
        }
        Ok(())
    }
}
