//! What a file system holds, in a form to be compared: from a folder, or from an image.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// One object with all that is to be kept of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub modified: (i64, u32),
    /// For directories 0: not every file system counts theirs.
    pub links: u32,
    pub device: (u32, u32),
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Data of a file, target of a symbolic link.
    pub content: Vec<u8>,
    /// The first path of the same inode, where this is another.
    pub same_as: Option<Vec<u8>>,
}

impl Found {
    pub fn is_directory(&self) -> bool {
        self.mode & 0o170_000 == 0o040_000
    }
}

/// Objects by their path; the root's is empty.
pub type Tree = BTreeMap<Vec<u8>, Found>;

/// Marks hard links by the numbers of their inodes.
pub fn group(tree: &mut Tree, numbers: &BTreeMap<Vec<u8>, u64>) {
    let mut first: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    for (path, found) in tree {
        if found.is_directory() {
            found.links = 0;
            continue;
        }
        match first.get(&numbers[path]) {
            Some(other) => found.same_as = Some(other.clone()),
            None => drop(first.insert(numbers[path], path.clone())),
        }
    }
}

/// Everything in a folder.
pub fn walk(root: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut numbers = BTreeMap::new();
    let mut left = vec![Vec::new()];
    while let Some(relative) = left.pop() {
        let path = [root.as_os_str().as_bytes(), &relative].concat();
        let path = Path::new(std::ffi::OsStr::from_bytes(&path));
        let metadata = fs::symlink_metadata(path).unwrap();
        if metadata.is_dir() {
            left.extend(fs::read_dir(path).unwrap().map(|entry| {
                let name = entry.unwrap().file_name();
                [relative.as_slice(), b"/", name.as_bytes()].concat()
            }));
        }
        let content = if metadata.is_file() {
            fs::read(path).unwrap()
        } else if metadata.is_symlink() {
            fs::read_link(path).unwrap().into_os_string().as_bytes().to_vec()
        } else {
            Vec::new()
        };
        let device = metadata.rdev();
        let found = Found {
            mode: metadata.mode(),
            uid: metadata.uid(),
            gid: metadata.gid(),
            modified: (metadata.mtime(), metadata.mtime_nsec() as u32),
            links: metadata.nlink() as u32,
            device: (rustix::fs::major(device), rustix::fs::minor(device)),
            xattrs: xattrs(path),
            content,
            same_as: None,
        };
        numbers.insert(relative.clone(), metadata.ino());
        tree.insert(relative, found);
    }
    group(&mut tree, &numbers);
    tree
}

fn xattrs(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut names = vec![0; 64 << 10];
    let length = rustix::fs::llistxattr(path, names.as_mut_slice()).unwrap();
    let names = names[..length]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty());
    names
        .filter_map(|name| {
            let mut value = vec![0; 64 << 10];
            let length = match rustix::fs::lgetxattr(path, name, value.as_mut_slice()) {
                // Listed, but not shown on this kind of file.
                Err(rustix::io::Errno::NODATA) => return None,
                length => length.unwrap(),
            };
            value.truncate(length);
            Some((name.to_vec(), value))
        })
        .collect()
}
