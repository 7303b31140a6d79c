//! Whether a disk that a guest writes to takes room of the host's for it, told without reading what is in it.
//!
//! A sparse file on ext4 or tmpfs takes room where it grows, and none where it is written over. Elsewhere (btrfs, XFS, ZFS,
//! bcachefs …) what is written over may be written to another place: to a block that was shared with an image or another
//! disk, or to any. The file does not grow then, and the room shrinks all the same.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::statfs;

/// Kinds of file systems that have each file's blocks to itself and write them over in place (`statfs(2)`): ext2 to ext4,
/// tmpfs.
const IN_PLACE: [u64; 2] = [0xef53, 0x0102_1994];

/// A disk as it is seen at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Bytes that it takes.
    taken: u64,
    /// When it was last changed.
    at: (i64, i64),
}

impl Written {
    /// Looks at a disk.
    ///
    /// # Errors
    /// What the system says.
    pub fn of(disk: &Path) -> io::Result<Self> {
        let about = fs::metadata(disk)?;
        Ok(Self {
            taken: about.blocks() * 512,
            at: (about.mtime(), about.mtime_nsec()),
        })
    }

    /// Whether what was written since `before` takes room, on a file system that writes in place or on another one.
    #[must_use]
    pub fn takes_room_since(self, before: Self, in_place: bool) -> bool {
        self.taken > before.taken || !in_place && self.at != before.at
    }
}

/// Whether what is written over in this folder takes no room. False where that is not known.
#[must_use]
pub fn is_in_place(folder: &Path) -> bool {
    statfs(folder).is_ok_and(|about| IN_PLACE.contains(&(about.f_type.cast_unsigned())))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::FileExt as _;
    use std::thread::sleep;
    use std::time::Duration;

    use super::*;

    /// Longer than the clock of files takes to its next tick.
    const TICK: Duration = Duration::from_millis(30);

    #[test]
    fn what_is_written_over_takes_room_unless_the_file_system_writes_in_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        let disk = File::create(&path).unwrap();
        disk.set_len(1 << 30).unwrap();
        disk.write_all_at(&[1; 1 << 16], 0).unwrap();
        disk.sync_all().unwrap();
        let look = || Written::of(&path).unwrap();

        let before = look();
        sleep(TICK);
        for in_place in [true, false] {
            assert!(!look().takes_room_since(before, in_place), "it is left alone");
        }
        let over = Written {
            taken: before.taken,
            ..look_after(&disk, 0, &look)
        };
        assert!(!over.takes_room_since(before, true));
        assert!(over.takes_room_since(before, false));
        let grown = look_after(&disk, 1 << 29, &look);
        assert!(grown.takes_room_since(before, true) && grown.takes_room_since(before, false));
    }

    fn look_after(disk: &File, at: u64, look: &dyn Fn() -> Written) -> Written {
        disk.write_all_at(&[2; 1 << 16], at).unwrap();
        disk.sync_all().unwrap();
        look()
    }

    #[test]
    fn what_is_not_known_of_a_file_system_is_not_taken_for_granted() {
        assert!(!is_in_place(Path::new("/proc")));
        assert!(!is_in_place(Path::new("/nowhere")));
    }
}
