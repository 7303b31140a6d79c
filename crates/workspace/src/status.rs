//! What `git status --porcelain=v2 -z` says, entry by entry.

use crate::error::WorkspaceError;

/// One version of a file in the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) mode: String,
    pub(crate) object: String,
}

impl Version {
    /// Whether there is a file at all.
    pub(crate) fn exists(&self) -> bool {
        self.mode != "000000"
    }

    pub(crate) fn is_submodule(&self) -> bool {
        self.mode == "160000"
    }
}

/// How the working tree differs from the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edit {
    None,
    Changed,
    Deleted,
}

/// A path at which head, index and working tree are not all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    Changed {
        /// Its version in the index, if that is another than in the head.
        staged: Option<Version>,
        /// What became of it in the working tree since it was staged.
        edit: Edit,
        /// Only meant to be added (`git add -N`).
        intended: bool,
        submodule: bool,
        path: Vec<u8>,
    },
    Unmerged {
        stages: [Version; 3],
        path: Vec<u8>,
    },
    Untracked(Vec<u8>),
}

/// Reads the whole list.
pub(crate) fn parse(text: &[u8]) -> Result<Vec<Entry>, WorkspaceError> {
    let lines = text.split(|byte| *byte == 0).filter(|line| !line.is_empty());
    lines
        .map(entry)
        .collect::<Option<_>>()
        .ok_or(WorkspaceError::Answer("a line of its status"))
}

fn entry(line: &[u8]) -> Option<Entry> {
    match line.split_first_chunk::<2>()? {
        (b"? ", path) => Some(Entry::Untracked(path.to_vec())),
        (b"1 ", rest) => {
            let ([letters, submodule, _, index, work, _, object], path) = fields::<7>(rest)?;
            let letters: [u8; 2] = letters.as_bytes().try_into().ok()?;
            let staged = Version {
                mode: index.to_owned(),
                object: object.to_owned(),
            };
            let intended = letters[0] == b'.' && letters[1] == b'A';
            Some(Entry::Changed {
                submodule: submodule.starts_with('S') || staged.is_submodule() || work == "160000",
                staged: (letters[0] != b'.').then_some(staged),
                edit: match letters[1] {
                    b'.' => Edit::None,
                    b'D' => Edit::Deleted,
                    _ => Edit::Changed,
                },
                intended,
                path,
            })
        }
        (b"u ", rest) => {
            let ([_, _, m1, m2, m3, _, h1, h2, h3], path) = fields::<9>(rest)?;
            let version = |mode: &str, object: &str| Version {
                mode: mode.to_owned(),
                object: object.to_owned(),
            };
            Some(Entry::Unmerged {
                stages: [version(m1, h1), version(m2, h2), version(m3, h3)],
                path,
            })
        }
        _ => None,
    }
}

/// `N` words and the path after them, which may hold spaces.
fn fields<const N: usize>(line: &[u8]) -> Option<([&str; N], Vec<u8>)> {
    let mut parts = line.splitn(N + 1, |byte| *byte == b' ');
    let mut words = [""; N];
    for word in &mut words {
        *word = std::str::from_utf8(parts.next()?).ok()?;
    }
    Some((words, parts.next().filter(|path| !path.is_empty())?.to_vec()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_kind_of_line_is_read() {
        let id = "1".repeat(40);
        let zero = "0".repeat(40);
        let text = format!(
            "1 M. N... 100644 100755 100755 {zero} {id} a b\n\0\
             1 .D N... 100644 100644 000000 {id} {id} gone\0\
             1 .A N... 000000 000000 100644 {zero} {zero} later\0\
             u UU N... 100644 100644 100644 100644 {id} {id} {id} both\0\
             ? new\0"
        );
        let entries = parse(text.as_bytes()).unwrap();
        let version = Version {
            mode: "100755".into(),
            object: id.clone(),
        };
        assert_eq!(
            entries[0],
            Entry::Changed {
                staged: Some(version),
                edit: Edit::None,
                intended: false,
                submodule: false,
                path: b"a b\n".to_vec()
            }
        );
        assert!(matches!(
            &entries[1],
            Entry::Changed {
                staged: None,
                edit: Edit::Deleted,
                ..
            }
        ));
        assert!(matches!(&entries[2], Entry::Changed { intended: true, .. }));
        assert!(matches!(&entries[3], Entry::Unmerged { .. }));
        assert_eq!(entries[4], Entry::Untracked(b"new".to_vec()));
        assert!(parse(b"2 R. what").is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(text: Vec<u8>) {
            let _ = parse(&text);
        }
    }
}
