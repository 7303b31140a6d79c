//! Seeds that are ext4 file systems: read in user space, never mounted.

use std::fs::File;
use std::io::{Read, Write};

use ext4_view::{Ext4, PathBuf};
use tar::EntryType;
use tarball::{Timestamp, shown};

use super::SeedError;
use super::writer::{About, Writer};

/// Folders within folders; one that holds itself has no end.
const DEEPEST: usize = 64;

/// What each ext4 has and nobody put there.
const OWN: &[u8] = b"/lost+found";

pub(super) fn read(file: File, writer: &mut Writer<impl Write>) -> Result<(), SeedError> {
    let ext4 = Ext4::load(Box::new(file)).map_err(SeedError::Ext4)?;
    folder(&ext4, &PathBuf::new("/"), 0, writer)
}

fn folder(
    ext4: &Ext4,
    path: &PathBuf,
    depth: usize,
    writer: &mut Writer<impl Write>,
) -> Result<(), SeedError> {
    if depth > DEEPEST {
        return Err(SeedError::Deep { path: name(path) });
    }
    // Sorted: equal file systems give equal archives.
    let mut found = Vec::new();
    for entry in ext4.read_dir(path).map_err(SeedError::Ext4)? {
        let entry = entry.map_err(SeedError::Ext4)?;
        let file_name = entry.file_name();
        if file_name != "." && file_name != ".." {
            found.push(entry.path());
        }
    }
    found.sort_by(|one, other| bytes(one).cmp(bytes(other)));
    for path in found {
        if bytes(&path) == OWN {
            continue;
        }
        entry(ext4, &path, depth, writer)?;
    }
    Ok(())
}

fn entry(
    ext4: &Ext4,
    path: &PathBuf,
    depth: usize,
    writer: &mut Writer<impl Write>,
) -> Result<(), SeedError> {
    let metadata = ext4.symlink_metadata(path).map_err(SeedError::Ext4)?;
    let modified = metadata.modified();
    let about = About {
        mode: u32::from(metadata.mode()),
        modified: Timestamp {
            seconds: modified.seconds(),
            nanoseconds: 0,
        },
    };
    let kind = metadata.file_type();
    if kind.is_dir() {
        writer.folder(bytes(path), about)?;
        folder(ext4, path, depth + 1, writer)
    } else if kind.is_symlink() {
        let target = ext4.read_link(path).map_err(SeedError::Ext4)?;
        writer.link(EntryType::Symlink, bytes(path), bytes(&target), about)
    } else if kind.is_regular_file() {
        let mut file = ext4.open(path).map_err(SeedError::Ext4)?;
        let size = metadata.len();
        let data = Read::by_ref(&mut file).take(size);
        writer.file(bytes(path), about, size, data)
    } else {
        Err(SeedError::Special { path: name(path) })
    }
}

fn bytes(path: &PathBuf) -> &[u8] {
    path.as_ref()
}

fn name(path: &PathBuf) -> String {
    shown(bytes(path))
}
