//! Paths inside the new root, whose links (`lib` → `usr/lib`, `/var/run` → `/run`) are the image's own.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, Mode, OFlags, ResolveFlags, mkdirat, openat2};
use rustix::io::Errno;

/// A directory tree that no path and no link leads out of.
#[derive(Debug)]
pub(super) struct Tree {
    top: OwnedFd,
}

impl Tree {
    pub(super) fn open(path: &str) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self {
            top: rustix::fs::open(path, flags, Mode::empty())?,
        })
    }

    /// Opens a folder; links resolve as they will once this tree is the root.
    pub(super) fn folder(&self, path: &str) -> Result<OwnedFd, Errno> {
        openat2(
            &self.top,
            path,
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
        )
    }

    /// Opens a folder, and makes it and those above it where they are missing.
    pub(super) fn make_folder(&self, path: &str) -> Result<OwnedFd, Errno> {
        match self.folder(path) {
            Err(Errno::NOENT) => {}
            found => return found,
        }
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let parent = match parent {
            "" => self.folder("/")?,
            parent => self.make_folder(parent)?,
        };
        match mkdirat(&parent, name, Mode::from_raw_mode(0o755)) {
            // A link to nowhere: the next look says so.
            Ok(()) | Err(Errno::EXIST) => self.folder(path),
            Err(error) => Err(error),
        }
    }
}

/// A path of an open folder that the mount calls take.
pub(super) fn path_of(folder: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", folder.as_raw_fd())
}

/// Whether a folder has no entries.
pub(super) fn is_empty(folder: &OwnedFd) -> io::Result<bool> {
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Deletes what a folder holds, and never what is mounted in it.
pub(super) fn delete_content(folder: &OwnedFd) -> io::Result<()> {
    let device = rustix::fs::fstat(folder)?.st_dev;
    delete_on_device(folder, device)
}

fn delete_on_device(folder: &OwnedFd, device: u64) -> io::Result<()> {
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let about = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if about.st_dev != device {
            continue;
        }
        if !rustix::fs::FileType::from_raw_mode(about.st_mode).is_dir() {
            rustix::fs::unlinkat(folder, name, AtFlags::empty())?;
            continue;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        delete_on_device(&rustix::fs::openat(folder, name, flags, Mode::empty())?, device)?;
        match rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR) {
            // Something is mounted on it or below it.
            Ok(()) | Err(Errno::BUSY | Errno::NOTEMPTY) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::*;

    fn tree() -> (tempfile::TempDir, Tree) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        fs::create_dir(&root).unwrap();
        let tree = Tree::open(root.to_str().unwrap()).unwrap();
        (folder, tree)
    }

    fn place(folder: &OwnedFd) -> String {
        fs::read_link(path_of(folder))
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned()
    }

    #[test]
    fn links_resolve_within_the_new_root() {
        let (outside, tree) = tree();
        let root = outside.path().join("root");
        fs::create_dir_all(root.join("usr/lib")).unwrap();
        for (target, name) in [
            ("usr/lib", "lib"),
            ("/usr/lib", "absolute"),
            ("../../../usr/lib", "upwards"),
        ] {
            symlink(target, root.join(name)).unwrap();
            let made = tree.make_folder(&format!("{name}/modules/6.1")).unwrap();
            assert_eq!(
                Path::new(&place(&made)),
                root.join("usr/lib/modules/6.1"),
                "{name}"
            );
        }
    }

    #[test]
    fn no_link_leads_out_of_the_new_root() {
        let (outside, tree) = tree();
        let root = outside.path().join("root");
        symlink(outside.path(), root.join("out")).unwrap();
        symlink("..", root.join("up")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        assert_eq!(tree.make_folder("out/made").unwrap_err(), Errno::NOENT);
        assert_eq!(
            Path::new(&place(&tree.make_folder("up/made").unwrap())),
            root.join("made")
        );
        assert_eq!(tree.make_folder("loop/made").unwrap_err(), Errno::LOOP);
        assert!(!outside.path().join("made").exists());
    }

    #[test]
    fn a_file_in_the_way_is_no_folder() {
        let (outside, tree) = tree();
        fs::write(outside.path().join("root/run"), "").unwrap();
        assert_eq!(tree.make_folder("run").unwrap_err(), Errno::NOTDIR);
        assert_eq!(tree.make_folder("run/below").unwrap_err(), Errno::NOTDIR);
    }

    #[test]
    fn deleting_the_content_follows_no_link() {
        let (outside, tree) = tree();
        let root = outside.path().join("root");
        fs::create_dir_all(root.join("a/b/c")).unwrap();
        fs::write(root.join("a/b/file"), "x").unwrap();
        fs::write(outside.path().join("kept"), "x").unwrap();
        symlink(outside.path(), root.join("a/out")).unwrap();
        let top = tree.folder("/").unwrap();
        assert!(!is_empty(&top).unwrap());
        delete_content(&top).unwrap();
        assert_eq!(fs::read_dir(&root).unwrap().count(), 0);
        assert!(outside.path().join("kept").exists());
    }

    proptest::proptest! {
        #[test]
        fn no_path_makes_a_folder_outside(path in "[a./]{1,20}") {
            let (outside, tree) = tree();
            let _ = tree.make_folder(&path);
            let names: Vec<_> = fs::read_dir(outside.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            proptest::prop_assert_eq!(names, ["root"]);
        }
    }
}
