//! The tree as an archive: measured first, then read by tar, which follows no link. Nothing runs in the tree by then.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use tar::EntryType;

use super::room::{self, Room};
use crate::error::CatalogError;
use crate::tar_stream::{MOST_BYTES, TarStream};
use crate::tool::{Ended, Explain, Program};
use crate::workdir::WorkDir;
use progress::Cancel;

/// Most files, folders and links of a tree: ten times as many as a desktop's.
const MOST_ENTRIES: u64 = 4_000_000;
/// Most folders in one another: what lies deeper has a path that no image takes, and no program opens.
const MOST_LEVELS: u64 = tarball::PATH_MAX as u64 / 2;

/// What each image has in `/dev`, whose tree has none of it: name, mode, kind, target of a link, numbers of a device.
/// Those of mmdebstrap's own archives.
const DEVICES: [(&str, u32, EntryType, &str, u32, u32); 15] = [
    ("", 0o755, EntryType::Directory, "", 0, 0),
    ("console", 0o666, EntryType::Char, "", 5, 1),
    ("fd", 0o777, EntryType::Symlink, "/proc/self/fd", 0, 0),
    ("full", 0o666, EntryType::Char, "", 1, 7),
    ("null", 0o666, EntryType::Char, "", 1, 3),
    ("ptmx", 0o666, EntryType::Char, "", 5, 2),
    ("pts/", 0o755, EntryType::Directory, "", 0, 0),
    ("random", 0o666, EntryType::Char, "", 1, 8),
    ("shm/", 0o755, EntryType::Directory, "", 0, 0),
    ("stderr", 0o777, EntryType::Symlink, "/proc/self/fd/2", 0, 0),
    ("stdin", 0o777, EntryType::Symlink, "/proc/self/fd/0", 0, 0),
    ("stdout", 0o777, EntryType::Symlink, "/proc/self/fd/1", 0, 0),
    ("tty", 0o666, EntryType::Char, "", 5, 0),
    ("urandom", 0o666, EntryType::Char, "", 1, 9),
    ("zero", 0o666, EntryType::Char, "", 1, 5),
];

/// Refuses a tree that is larger than an image may be, by what its files say: holes count.
pub(super) fn check(room: &Room, tree: &Path, cancel: &Cancel) -> Result<(), CatalogError> {
    let mut command = room.read("find", "findutils", tree)?;
    command.arguments(["/tree", "-xdev", "-printf", "%d %s\\n"]);
    let (mut entries, mut bytes) = (0_u64, 0_u64);
    let mut too_large = None;
    let running = program("find", command).start(cancel)?;
    running.lines_while(|line| {
        entries += 1;
        let (levels, size) = line.split_once(' ').unwrap_or_default();
        bytes = bytes.saturating_add(size.parse().unwrap_or(0));
        too_large = if levels.parse().is_ok_and(|levels: u64| levels > MOST_LEVELS) {
            Some((MOST_LEVELS, "levels of folders"))
        } else if entries > MOST_ENTRIES {
            Some((MOST_ENTRIES, "files"))
        } else if bytes > MOST_BYTES {
            Some((MOST_BYTES >> 30, "GiB"))
        } else {
            None
        };
        too_large.is_none()
    })?;
    match too_large {
        Some((most, unit)) => Err(CatalogError::TooLarge {
            what: "recipe's tree",
            most,
            unit,
        }),
        None => Ok(()),
    }
}

/// Starts the archive.
pub(super) fn start(
    room: &Room,
    tree: &Path,
    folder: Arc<WorkDir>,
    date: Timestamp,
    cancel: &Cancel,
) -> Result<TarStream, CatalogError> {
    let seconds = date.as_second();
    let mut command = room.read("tar", "tar", tree)?;
    command.arguments([
        "--sort=name",
        &format!("--mtime=@{seconds}"),
        "--clamp-mtime",
        "--numeric-owner",
        "--one-file-system",
        "--format=pax",
        "--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime",
        "--xattrs",
        "--create",
        "--file=-",
        // This one name and nothing else: the usual way compares all parents of each entry with the pattern, at each
        // place of its path, which takes hours where a few hundred folders are in one another.
        "--anchored",
        "--no-wildcards",
        "--no-recursion",
        "--exclude=./dev",
        "--recursion",
        "--directory=/tree",
        ".",
    ]);
    let running = program("tar", command).start(cancel)?;
    Ok(TarStream::with_head(devices(seconds), running, Some(folder)))
}

fn program(tool: &'static str, command: process::Command) -> Program {
    let explain: Explain = Box::new(move |ended: Ended, lines| CatalogError::ToolFailed {
        tool,
        reason: lines.last().cloned().unwrap_or_else(|| ended.to_string()),
    });
    Program {
        tool,
        command,
        time: Some(room::TIME),
        merged: false,
        on_line: Box::new(|_| {}),
        explain,
    }
}

/// Members of an archive, without its end.
fn devices(seconds: i64) -> Vec<u8> {
    let mut members = Vec::new();
    for (name, mode, kind, link, major, minor) in DEVICES {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(0);
        header.set_mtime(seconds.max(0).unsigned_abs());
        // They are short, and of a GNU header that has these fields: none of it fails.
        let path = format!("./dev/{name}");
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        if kind == EntryType::Char {
            let _ = header.set_device_major(major);
            let _ = header.set_device_minor(minor);
        }
        header.set_cksum();
        members.extend_from_slice(header.as_bytes());
    }
    members
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_members_for_devices_are_an_archive_that_says_what_the_table_says() {
        let bytes = devices(1000);
        let mut archive = tar::Archive::new(bytes.as_slice());
        let mut seen = Vec::new();
        for entry in archive.entries().unwrap() {
            let entry = entry.unwrap();
            let header = entry.header();
            assert_eq!(header.mtime().unwrap(), 1000);
            let numbers = (header.entry_type() == EntryType::Char)
                .then(|| (header.device_major().unwrap(), header.device_minor().unwrap()));
            let link = entry.link_name().unwrap().map(|link| link.display().to_string());
            seen.push((
                entry.path().unwrap().display().to_string(),
                header.mode().unwrap(),
                link,
                numbers,
            ));
        }
        assert_eq!(seen.len(), DEVICES.len());
        assert_eq!(seen[0], ("./dev/".into(), 0o755, None, None));
        assert_eq!(
            seen[2],
            ("./dev/fd".into(), 0o777, Some("/proc/self/fd".into()), None)
        );
        assert_eq!(
            seen[14],
            ("./dev/zero".into(), 0o666, None, Some((Some(1), Some(5))))
        );
    }
}
