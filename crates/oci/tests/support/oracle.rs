//! What lies on a disk after `umoci unpack` as root, beside what the stream of an image's entries says.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use oci::{Digest, Kind, Platform};
use progress::Cancel;

use super::{Flat, flatten, has};

/// A file of this many bytes is shown; of a larger one, its digest.
const SHOWN: usize = 256;

/// What both sides must agree on.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    kind: String,
    attributes: Option<Attributes>,
    /// All names of the same file, the first of them.
    first_name: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Attributes {
    mode: u32,
    uid: u32,
    gid: u32,
    seconds: i64,
    nanoseconds: i64,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

type Tree = BTreeMap<PathBuf, Seen>;

/// What lies on the disk.
fn on_disk(root: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut first: HashMap<u64, PathBuf> = HashMap::new();
    let mut open = vec![root.to_owned()];
    let mut paths = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.symlink_metadata().unwrap().is_dir() {
                open.push(path.clone());
            }
            paths.push(path);
        }
    }
    paths.push(root.to_owned());
    paths.sort();
    for path in paths {
        let data = path.symlink_metadata().unwrap();
        let kind = data.file_type();
        let name = match path.strip_prefix(root).unwrap() {
            name if name.as_os_str().is_empty() => PathBuf::from("."),
            name => name.to_owned(),
        };
        let (major, minor) = (rustix::fs::major(data.rdev()), rustix::fs::minor(data.rdev()));
        let text = if kind.is_dir() {
            "directory".to_owned()
        } else if kind.is_symlink() {
            format!(
                "link {}",
                fs::read_link(&path)
                    .unwrap()
                    .as_os_str()
                    .as_bytes()
                    .escape_ascii()
            )
        } else if kind.is_file() {
            content(&fs::read(&path).unwrap())
        } else if kind.is_fifo() {
            "fifo".to_owned()
        } else {
            format!(
                "{} {major} {minor}",
                if kind.is_block_device() { 'b' } else { 'c' }
            )
        };
        let first_name = match kind.is_dir() {
            true => name.clone(),
            false => first.entry(data.ino()).or_insert_with(|| name.clone()).clone(),
        };
        let attributes = Attributes {
            // Linux gives every link 0777, whatever an archive says.
            mode: if kind.is_symlink() {
                0o777
            } else {
                data.mode() & 0o7777
            },
            uid: data.uid(),
            gid: data.gid(),
            seconds: data.mtime(),
            nanoseconds: data.mtime_nsec(),
            xattrs: xattrs(&path),
        };
        tree.insert(
            name,
            Seen {
                kind: text,
                attributes: Some(attributes),
                first_name,
            },
        );
    }
    tree
}

fn xattrs(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut list = vec![0; 4096];
    let length = rustix::fs::llistxattr(path, &mut list).unwrap();
    let names = list[..length]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty());
    let value = |name: &[u8]| {
        let mut value = vec![0; 4096];
        let length = rustix::fs::lgetxattr(path, name, &mut value).unwrap();
        value.truncate(length);
        value
    };
    names.map(|name| (name.to_vec(), value(name))).collect()
}

/// What came out of the stream, with the directories that no layer describes.
fn flattened(flat: &[Flat]) -> Tree {
    let path = |bytes: &[u8]| PathBuf::from(std::ffi::OsString::from_vec(bytes.to_vec()));
    let mut tree = Tree::new();
    for (entry, data) in flat {
        let name = path(&entry.path);
        if let Kind::HardLink { target } = &entry.kind {
            let seen = tree[&path(target)].clone();
            tree.insert(name, seen);
            continue;
        }
        let kind = match &entry.kind {
            Kind::File { .. } => content(data),
            Kind::Directory => "directory".to_owned(),
            Kind::Symlink { target } => format!("link {}", target.escape_ascii()),
            Kind::CharacterDevice { major, minor } => format!("c {major} {minor}"),
            Kind::BlockDevice { major, minor } => format!("b {major} {minor}"),
            Kind::Fifo => "fifo".to_owned(),
            Kind::HardLink { .. } => unreachable!("handled above"),
            Kind::Socket => unreachable!("no archive holds one"),
        };
        let attributes = Attributes {
            mode: if matches!(entry.kind, Kind::Symlink { .. }) {
                0o777
            } else {
                entry.mode
            },
            uid: entry.uid,
            gid: entry.gid,
            seconds: entry.modified.seconds,
            nanoseconds: entry.modified.nanoseconds.into(),
            xattrs: entry
                .xattrs
                .iter()
                .map(|xattr| (xattr.name.clone(), xattr.value.clone()))
                .collect(),
        };
        tree.insert(
            name.clone(),
            Seen {
                kind,
                attributes: Some(attributes),
                first_name: name,
            },
        );
    }
    let names: Vec<PathBuf> = tree.keys().cloned().collect();
    for name in names {
        for parent in name.ancestors().skip(1) {
            let parent = if parent.as_os_str().is_empty() {
                Path::new(".")
            } else {
                parent
            };
            tree.entry(parent.to_owned()).or_insert_with(|| Seen {
                kind: "directory".to_owned(),
                attributes: None,
                first_name: parent.to_owned(),
            });
        }
    }
    // The stream may give the names of a file in any order; which is first is the disk's word.
    let mut first: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
    for (name, seen) in &tree {
        first
            .entry(seen.first_name.clone())
            .or_insert_with(|| name.clone());
    }
    for seen in tree.values_mut() {
        seen.first_name = first[&seen.first_name].clone();
    }
    tree
}

fn content(data: &[u8]) -> String {
    if data.len() <= SHOWN {
        format!("file {}", data.escape_ascii())
    } else {
        format!("file of {} bytes, {}", data.len(), Digest::of(data))
    }
}

/// Whether there is an oracle: umoci, and the right to make what it makes.
pub fn can_unpack() -> bool {
    has("umoci") && rustix::process::geteuid().is_root()
}

/// Holds an image of a layout against what umoci unpacks of it.
pub fn compare(what: &str, layout: &Path, tag: &str) {
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("bundle");
    let output = Command::new("umoci")
        .args(["unpack", "--keep-dirlinks=false", "--image"])
        .arg(format!("{}:{tag}", layout.display()))
        .arg(&bundle)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{what}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut expected = on_disk(&bundle.join("rootfs"));
    let opened = oci::open_layout(layout, Some(tag), Platform::Amd64, &Cancel::default()).unwrap();
    let found = flattened(&flatten(&opened.layers).unwrap());
    for (name, seen) in &mut expected {
        // A directory that no layer describes has whatever attributes its maker likes.
        if found.get(name).is_none_or(|found| found.attributes.is_none()) && seen.kind == "directory" {
            seen.attributes = None;
        }
    }
    if !found.contains_key(Path::new(".")) {
        expected.remove(Path::new("."));
    }
    for (name, seen) in &expected {
        assert_eq!(found.get(name), Some(seen), "{what}: {}", name.display());
    }
    for name in found.keys() {
        assert!(
            expected.contains_key(name),
            "{what}: {} is too much",
            name.display()
        );
    }
}
