//! How much a guest's patch, and what git makes of it in memory, may come to.

use crate::error::{WorkspaceError, shown};

/// Most bytes of a patch's text, which git reads into memory whole.
pub const LARGEST_TEXT: u64 = 256 << 20;

/// Most bytes that the binary files of a patch come to together: each version of a file, and each delta.
///
/// git holds about twice as much while it applies them.
pub const LARGEST_CONTENT: u64 = 256 << 20;

/// Most bytes of all paths of a patch.
pub(super) const LARGEST_NAMES: usize = 64 << 20;

/// What is left of [`LARGEST_CONTENT`].
pub(super) struct Budget {
    spent: u64,
}

impl Budget {
    pub(super) fn whole() -> Self {
        Self { spent: 0 }
    }

    /// Counts what a file says that it takes.
    ///
    /// # Errors
    /// [`WorkspaceError::TooMuch`] once that is more than there is.
    pub(super) fn spend(&mut self, bytes: u64, path: &[u8]) -> Result<(), WorkspaceError> {
        self.spent = self.spent.saturating_add(bytes);
        if self.spent > LARGEST_CONTENT {
            return Err(WorkspaceError::TooMuch {
                what: "patch",
                bytes: self.spent,
                at: format!("`{}`", shown(path)),
                limit: LARGEST_CONTENT,
            });
        }
        Ok(())
    }
}
