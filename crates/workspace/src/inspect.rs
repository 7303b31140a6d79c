//! The parts of a repository that git itself reads: looked through before any git does, for what would lead it elsewhere.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::beneath::Folder;
use crate::config::{Reader, Setting, Settings};
use crate::error::{WorkspaceError, shown};
use crate::layout::Layout;

/// Most bytes of a list.
const LARGEST_LIST: u64 = 64 << 20;
/// Most bytes of the files that are copied, together: as many as git takes of one file of patterns.
const LARGEST_COPIES: u64 = 100 << 20;
const LARGEST_HEAD: u64 = 4096;
const LARGEST_ALTERNATES: u64 = 1 << 20;

/// Most repositories that one borrows of, and that those borrow of.
const MOST_BORROWED: usize = 64;

/// What git is told of a repository in the place of its own files.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parts {
    /// What is checked out, as the file says it.
    pub(crate) head: Vec<u8>,
    /// Where its history ends, if not where it begins.
    pub(crate) shallow: Option<Vec<u8>>,
    /// Patterns of a sparse checkout.
    pub(crate) sparse: Option<Vec<u8>>,
    /// Patterns of ignored files, and attributes, that are not in the tree.
    pub(crate) exclude: Option<Vec<u8>>,
    pub(crate) attributes: Option<Vec<u8>>,
    /// The same by files that the repository's settings name.
    pub(crate) named_exclude: Option<Vec<u8>>,
    pub(crate) named_attributes: Option<Vec<u8>>,
    /// Files and folders that git reads itself, with what holds them.
    pub(crate) linked: Vec<(&'static str, PathBuf)>,
    /// Parts of an index that was split.
    pub(crate) indexes: Vec<(Vec<u8>, PathBuf)>,
    /// Folders of objects that belong to others.
    pub(crate) borrowed: Vec<PathBuf>,
}

impl Parts {
    /// Looks through all of it. `borrowing` is the user's word that objects of other repositories may be used.
    pub(crate) fn of(
        layout: &Layout,
        reader: &Reader<'_>,
        settings: &Settings,
        borrowing: bool,
    ) -> Result<Self, WorkspaceError> {
        let (folder, common) = (&layout.folder, layout.common());
        let tables = settings.get("extensions", "refstorage") == Some(b"reftable");
        if tables && layout.shared.is_some() {
            // git would take the head of the main working tree, whose tables the others share.
            let why = "holds the head of a linked working tree, which is read where refs are files only";
            return Err(folder.no_file(Path::new("reftable"), why));
        }
        let mut left = LARGEST_COPIES;
        let mut copied = |folder: &Folder, name: &str| {
            let text = folder.read(name, left)?;
            left -= text.as_ref().map_or(0, |text| text.len() as u64);
            Ok::<_, WorkspaceError>(text)
        };
        let mut parts = Self {
            head: match tables {
                // It stands elsewhere, and this says so.
                true => b"ref: refs/heads/.invalid".to_vec(),
                false => head(folder)?,
            },
            shallow: copied(common, "shallow")?,
            sparse: copied(folder, "info/sparse-checkout")?,
            exclude: copied(common, "info/exclude")?,
            attributes: copied(common, "info/attributes")?,
            ..Self::default()
        };
        parts.named_exclude = named(layout, reader, settings, "excludesfile", &mut left)?;
        parts.named_attributes = named(layout, reader, settings, "attributesfile", &mut left)?;
        for name in ["refs", "objects", "reftable"] {
            if common.check_tree(Path::new(name))? {
                parts.linked.push((name, common.path.join(name)));
            }
        }
        check_tables(common)?;
        if common.check_file(Path::new("packed-refs"))? {
            parts
                .linked
                .push(("packed-refs", common.path.join("packed-refs")));
        }
        if folder.check_file(Path::new("index"))? {
            parts.linked.push(("index", folder.path.join("index")));
        }
        for name in folder.names(Path::new("."))? {
            if name.starts_with(b"sharedindex.") {
                let path = Path::new(OsStr::from_bytes(&name));
                folder.check_file(path)?;
                parts.indexes.push((name.clone(), folder.path.join(path)));
            }
        }
        let objects = common.path.join("objects");
        parts.borrowed = borrowed(&layout.top.path, &objects, borrowing)?;
        Ok(parts)
    }

    /// Whether there are rules for attributes outside of the tree.
    pub(crate) fn have_attributes(&self) -> bool {
        self.attributes.is_some() || self.named_attributes.is_some()
    }

    /// The branch that is checked out, by its whole name; none of a commit.
    pub(crate) fn branch(&self) -> Option<&[u8]> {
        self.head.strip_prefix(b"ref: ")
    }
}

/// The tables of a reftable are named in a list, each by its name in the folder.
fn check_tables(common: &Folder) -> Result<(), WorkspaceError> {
    let path = Path::new("reftable/tables.list");
    let Some(list) = common.read("reftable/tables.list", LARGEST_LIST)? else {
        return Ok(());
    };
    match list.contains(&b'/') {
        true => Err(common.no_file(path, "names files of other folders")),
        false => Ok(()),
    }
}

/// What is checked out: a name of a ref, or an id.
pub(crate) fn head(folder: &Folder) -> Result<Vec<u8>, WorkspaceError> {
    let bytes = folder.read("HEAD", LARGEST_HEAD)?.unwrap_or_default();
    let head = bytes.trim_ascii_end();
    let sound = match head.strip_prefix(b"ref:") {
        Some(name) => is_ref(name.trim_ascii_start()),
        None => is_id(head),
    };
    if !sound {
        return Err(folder.no_file(Path::new("HEAD"), "names neither a ref nor a commit"));
    }
    Ok(match head.strip_prefix(b"ref:") {
        Some(name) => [b"ref: ", name.trim_ascii_start()].concat(),
        None => head.to_vec(),
    })
}

/// Whether a name of a ref leads nowhere else than below `refs`.
pub(crate) fn is_ref(name: &[u8]) -> bool {
    let part = |part: &[u8]| !part.is_empty() && !part.starts_with(b".") && !part.ends_with(b".lock");
    name.starts_with(b"refs/")
        && name.split(|byte| *byte == b'/').all(part)
        && !name
            .iter()
            .any(|byte| byte.is_ascii_control() || b" ~^:?*[\\".contains(byte))
        && !name.windows(2).any(|pair| pair == b"..")
}

pub(crate) fn is_id(text: &[u8]) -> bool {
    matches!(text.len(), 40 | 64) && text.iter().all(u8::is_ascii_hexdigit)
}

/// The file that a setting of the repository's own names: one of the repository's, or none at all.
fn named(
    layout: &Layout,
    reader: &Reader<'_>,
    settings: &Settings,
    name: &str,
    left: &mut u64,
) -> Result<Option<Vec<u8>>, WorkspaceError> {
    let last = settings.0.iter().rev().find(|setting| setting.is("core", name));
    let Some(
        setting @ Setting {
            value: Some(value), ..
        },
    ) = last.filter(|setting| setting.value.as_ref().is_some_and(|value| !value.is_empty()))
    else {
        // An empty one takes away what the user's settings name.
        return Ok(last.map(|_| Vec::new()));
    };
    // git takes it from where it works: the working tree's top.
    let beside = layout.top.path.join("config");
    let path = reader
        .place(value, &beside, setting)
        .map_err(|failure| match failure {
            WorkspaceError::LeadsOut { key, value, .. } => WorkspaceError::LeadsOut {
                path: layout.common().path.join("config"),
                key,
                value,
            },
            other => other,
        })?;
    let text = reader.read(&path, *left)?.unwrap_or_default();
    *left -= text.len() as u64;
    Ok(Some(text))
}

/// The folders whose objects a repository uses as if they were its own, and those that they use.
fn borrowed(top: &Path, objects: &Path, allowed: bool) -> Result<Vec<PathBuf>, WorkspaceError> {
    let mut all: Vec<PathBuf> = Vec::new();
    let mut to_read = vec![objects.to_owned()];
    while let Some(objects) = to_read.pop() {
        let Ok(folder) = Folder::open(&objects) else {
            // git goes on without it, too.
            continue;
        };
        let list = folder
            .read("info/alternates", LARGEST_ALTERNATES)?
            .unwrap_or_default();
        let lines = list.split(|byte| *byte == b'\n');
        for line in lines.filter(|line| !line.is_empty() && !line.starts_with(b"#")) {
            let path = objects.join(OsStr::from_bytes(line));
            let path = path.canonicalize().unwrap_or(path);
            if !allowed {
                return Err(WorkspaceError::Borrows {
                    path: top.to_owned(),
                    from: shown(path.as_os_str().as_bytes()),
                });
            }
            if line.starts_with(b"\"") || all.len() == MOST_BORROWED {
                return Err(folder.no_file(
                    Path::new("info/alternates"),
                    "names folders that are not understood",
                ));
            }
            if !all.contains(&path) && path.is_dir() {
                // Its own links lead elsewhere, just so.
                Folder::open(&path)?.check_tree(Path::new("."))?;
                all.push(path.clone());
                to_read.push(path);
            }
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_leads_nowhere_but_below_refs() {
        for (name, expected) in [
            ("refs/heads/main", true),
            ("refs/heads/--all", true),
            ("refs/heads/a\u{fe}", true),
            ("refs/../../../etc/passwd", false),
            ("refs/heads/..", false),
            ("refs/heads/.x", false),
            ("refs/heads/a..b", false),
            ("refs//x", false),
            ("refs/", false),
            ("heads/main", false),
            ("/etc/passwd", false),
            ("refs/heads/a b", false),
            ("refs/heads/a.lock", false),
            ("", false),
        ] {
            assert_eq!(is_ref(name.as_bytes()), expected, "{name}");
        }
    }
}
