//! From a path of the user's to what it means now: each place inside the working tree that is met, since a guest's change
//! of any of them changes what the path means.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// Most links of one way, as with the kernel.
const LINKS: u32 = 40;
/// Most names that are looked at together. Beyond, paths are taken as they are written.
const STEPS: u32 = 300_000;

pub(super) struct Way {
    top: PathBuf,
    left: u32,
}

impl Way {
    /// `top` is the tree's, over no link.
    pub(super) fn in_tree(top: &Path) -> Self {
        Self {
            top: top.to_owned(),
            left: STEPS,
        }
    }

    pub(super) fn top(&self) -> &Path {
        &self.top
    }

    /// The path as it is written, if it is below the tree's top.
    pub(super) fn as_written(&self, path: &Path) -> Option<Vec<u8>> {
        let mut plain = PathBuf::new();
        for part in path.components() {
            match part {
                Component::ParentDir => {
                    plain.pop();
                }
                other => plain.push(other),
            }
        }
        self.inside(&plain)
    }

    /// The links of the tree on the way of a whole path, and where it ends, if that is in the tree. What is not there yet
    /// is where it would be made.
    pub(super) fn follow(&mut self, path: &Path) -> Vec<Vec<u8>> {
        let mut met = Vec::new();
        let mut links = 0;
        let mut at = PathBuf::from("/");
        let mut rest: Vec<OsString> = names(path).collect();
        while let Some(name) = rest.pop() {
            if name == ".." {
                at.pop();
                continue;
            }
            at.push(&name);
            self.left = self.left.saturating_sub(1);
            let Some(target) = (self.left > 0).then(|| fs::read_link(&at).ok()).flatten() else {
                continue;
            };
            met.extend(self.inside(&at));
            links += 1;
            if links > LINKS {
                return met;
            }
            at.pop();
            if target.is_absolute() {
                at = PathBuf::from("/");
            }
            rest.extend(names(&target));
        }
        met.extend(self.inside(&at));
        met
    }

    /// The same of a path where there is something.
    pub(super) fn follow_existing(&mut self, path: &Path) -> Vec<Vec<u8>> {
        self.left = self.left.saturating_sub(1);
        match self.left > 0 && path.symlink_metadata().is_ok() {
            true => self.follow(path),
            false => Vec::new(),
        }
    }

    /// What is in `.git` no patch reaches.
    fn inside(&self, path: &Path) -> Option<Vec<u8>> {
        let below = path.strip_prefix(&self.top).ok()?;
        let hidden = below.starts_with(".git") || below.as_os_str().is_empty();
        (!hidden).then(|| below.as_os_str().as_bytes().to_vec())
    }
}

/// The names of a path, the last one first.
fn names(path: &Path) -> impl Iterator<Item = OsString> {
    path.components().rev().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn each_link_in_the_tree_and_the_end_are_met() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let top = folder.join("top");
        fs::create_dir_all(top.join("git/deep")).unwrap();
        symlink("top/now", folder.join("settings")).unwrap();
        symlink("git", top.join("now")).unwrap();
        symlink(&top, folder.join("home")).unwrap();
        symlink("loop", folder.join("loop")).unwrap();
        symlink("/etc/passwd", top.join("out")).unwrap();
        for (path, met) in [
            ("settings/extra", &["now", "git/extra"][..]),
            ("home/git/deep/../x", &["git/x"]),
            ("home/../top/a", &["a"]),
            ("home/.git/hooks", &[]),
            ("top", &[]),
            ("elsewhere", &[]),
            ("loop", &[]),
            ("home/out", &["out"]),
        ] {
            let mut way = Way::in_tree(&top);
            let found = way.follow(&folder.join(path));
            let found: Vec<&str> = found
                .iter()
                .map(|path| std::str::from_utf8(path).unwrap())
                .collect();
            assert_eq!(found, met, "{path}");
        }
        let mut spent = Way::in_tree(&top);
        spent.left = 0;
        assert_eq!(spent.follow(&top.join("now")), [b"now"]);
    }
}
