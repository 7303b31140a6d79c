//! What `git diff-tree -r -z --raw -c` prints: which files commits change, and nothing of what these hold.
//!
//! ```text
//! :100644 100644 <id> <id> M NUL path NUL             a commit with one parent
//! ::100644 100644 100755 <id> <id> <id> MM NUL path NUL   a merge that is like none of its parents there
//! ```

use super::bounds::Count;
use super::{Change, FileMode, name};
use crate::error::{WorkspaceError, shown};

/// A change, and the object that its new version is.
pub(crate) type Raw = (Change, String);

/// Reads it all.
///
/// # Errors
/// [`WorkspaceError::Patch`] with the path that is not taken, or an answer that git never gives.
pub(crate) fn parse(text: &[u8]) -> Result<Vec<Raw>, WorkspaceError> {
    let mut fields = text.split(|byte| *byte == 0);
    let (mut changes, mut count) = (Vec::new(), Count::default());
    loop {
        let Some(head) = fields.next().filter(|head| !head.is_empty()) else {
            return Ok(changes);
        };
        let path = fields.next().unwrap_or_default();
        let (before, after, id) = versions(head)
            .ok_or(WorkspaceError::Answer("a changed file was expected"))?
            .map_err(|why| refused(path, why))?;
        name::check(path).map_err(|why| refused(path, why))?;
        count.add(path).map_err(|why| refused(path, why))?;
        let change = Change {
            path: path.to_vec(),
            before,
            after,
            lines: None,
            size: None,
            target: None,
        };
        changes.push((change, id));
    }
}

type Versions = (Option<FileMode>, Option<FileMode>, String);

/// The modes before and after, and the new object: of a merge, those of its first parent.
fn versions(head: &[u8]) -> Option<Result<Versions, &'static str>> {
    let head = std::str::from_utf8(head).ok()?;
    let parents = head.bytes().take_while(|byte| *byte == b':').count();
    let words: Vec<&str> = head[parents..].split(' ').collect();
    if parents == 0 || words.len() != 2 * (parents + 1) + 1 {
        return None;
    }
    let id = words[2 * parents + 1];
    let sound = matches!(id.len(), 40 | 64) && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mode = |word: &str| match word {
        "000000" => Ok(None),
        word => FileMode::parse(word.as_bytes()).map(Some),
    };
    sound.then(|| Ok((mode(words[0])?, mode(words[parents])?, id.to_owned())))
}

fn refused(path: &[u8], why: &str) -> WorkspaceError {
    WorkspaceError::Objects {
        why: format!("`{}` {why}", shown(path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "1111111111111111111111111111111111111111";

    #[test]
    fn commits_and_merges_are_read() {
        let text = format!(
            ":000000 120000 {ID} {ID} A\0a b\0::100644 100644 100755 {ID} {ID} {ID} MM\0c\0:100644 000000 {ID} {ID} D\0d\0"
        );
        let found = parse(text.as_bytes()).unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|(change, _)| (change.path.as_slice(), change.before, change.after))
            .collect();
        assert_eq!(
            found,
            [
                (&b"a b"[..], None, Some(FileMode::Link)),
                (b"c", Some(FileMode::Plain), Some(FileMode::Executable)),
                (b"d", Some(FileMode::Plain), None),
            ]
        );
    }

    #[test]
    fn what_is_no_file_of_the_tree_is_refused() {
        for (mode, path) in [
            ("160000", "sub"),
            ("100644", ".git/config"),
            ("100644", "a/../../b"),
            ("100666", "a"),
        ] {
            let text = format!(":000000 {mode} {ID} {ID} A\0{path}\0");
            assert!(parse(text.as_bytes()).is_err(), "{mode} {path}");
        }
        for text in ["x\0y\0", ":100644\0a\0", ":000000 100644 x y A\0a\0"] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
