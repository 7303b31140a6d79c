//! Paths of entries, split into names.

use tarball::{NAME_MAX, PATH_MAX, shown};

use super::error::ErofsError;

/// Splits a path into names, refusing what no entry may be called.
pub(crate) fn components(path: &[u8]) -> Result<Vec<&[u8]>, ErofsError> {
    let entry = || shown(path);
    if path.len() > PATH_MAX {
        return Err(ErofsError::PathTooLong {
            entry: entry(),
            length: path.len(),
        });
    }
    if path.contains(&0) {
        return Err(ErofsError::ZeroInName { entry: entry() });
    }
    let names = path
        .split(|byte| *byte == b'/')
        .filter(|name| !matches!(*name, b"" | b"."));
    let mut found = Vec::new();
    for name in names {
        if name == b".." {
            return Err(ErofsError::Traversal { entry: entry() });
        }
        if name.len() > NAME_MAX {
            return Err(ErofsError::NameTooLong {
                entry: entry(),
                length: name.len(),
            });
        }
        found.push(name);
    }
    if found.is_empty() && path.is_empty() {
        return Err(ErofsError::EmptyName);
    }
    Ok(found)
}
