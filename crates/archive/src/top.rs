//! What a copied tree is called: by the path that was asked for, and never by the stream.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::error::ArchiveError;

/// The name that a stream's one tree has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Top {
    /// The path's last name.
    Named(Vec<u8>),
    /// What is in a folder, without the folder: the path ends in `/.`. The tree's root is called `.`.
    Contents,
    /// The path has no last name (`/`, `..`). The tree's root is called `.` then too, but nobody said that what is in
    /// it may lie beside what is there.
    Nameless,
}

impl Top {
    /// What the tree that is read from `path` is called.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        let bytes = path.as_os_str().as_bytes();
        if bytes == b"." || bytes.ends_with(b"/.") {
            return Self::Contents;
        }
        match path.file_name() {
            Some(name) => Self::Named(name.as_bytes().to_vec()),
            None => Self::Nameless,
        }
    }

    /// The name in a stream.
    pub(crate) fn name(&self) -> &[u8] {
        match self {
            Self::Named(name) => name,
            Self::Contents | Self::Nameless => b".",
        }
    }

    /// The first name of each of the tree's members; none for a root called `.`.
    pub(crate) fn first(&self) -> Option<&[u8]> {
        match self {
            Self::Named(name) => Some(name),
            Self::Contents | Self::Nameless => None,
        }
    }
}

/// Refuses a member that is not of the tree called `top`; `names` is its path, taken apart.
pub(crate) fn check(top: Option<&[u8]>, path: &[u8], names: &[&[u8]]) -> Result<(), ArchiveError> {
    match top {
        Some(top) if names.first() != Some(&top) => Err(ArchiveError::another(path, top)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_called_by_the_last_name_of_its_path() {
        let named = |name: &str| Top::Named(name.as_bytes().to_vec());
        for (path, top) in [
            ("/x/report.txt", named("report.txt")),
            ("/x/tree/", named("tree")),
            ("/x/tree/./", named("tree")),
            ("tree", named("tree")),
            ("/x/...", named("...")),
            ("/x/.", Top::Contents),
            (".", Top::Contents),
            ("/.", Top::Contents),
            ("/", Top::Nameless),
            ("..", Top::Nameless),
            ("/x/..", Top::Nameless),
            ("/x/../", Top::Nameless),
        ] {
            assert_eq!(Top::of(Path::new(path)), top, "{path}");
        }
    }
}
