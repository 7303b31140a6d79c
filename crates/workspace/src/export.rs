//! What changed in a guest's workspace, as one patch.

use std::io::{self, Write};

use crate::bounded::Bounded;
use crate::error::WorkspaceError;
use crate::guest::{EXPORT, Guest};

/// What a patch is made against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Base {
    /// The files as they were put there, uncommitted changes included.
    Prepared,
    /// The commit that was prepared.
    Commit,
    /// Another commit of the guest's repository.
    Other(String),
}

/// Most bytes of a patch that is printed; one that is to be applied is smaller: [`crate::patch::LARGEST_TEXT`].
pub const LARGEST_PATCH: u64 = 4 << 30;

/// Writes the patch to `output`, as the guest says it, up to `limit` bytes; nothing of the guest's repository changes.
///
/// # Errors
/// There is no workspace or no such base, the patch is too large, or `output` fails.
pub fn export(
    guest: &mut dyn Guest,
    path: &str,
    base: &Base,
    limit: u64,
    output: &mut dyn Write,
) -> Result<(), WorkspaceError> {
    let base = match base {
        Base::Prepared => "prepared",
        Base::Commit => "base",
        Base::Other(name) => name,
    };
    let mut bounded = Bounded {
        output,
        left: limit,
        over: false,
    };
    let outcome = EXPORT.run(guest, &[path, base], Box::new(io::empty()), &mut bounded);
    if bounded.over {
        return Err(WorkspaceError::TooLarge { what: "patch", limit });
    }
    outcome
}
