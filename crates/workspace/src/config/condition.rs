//! Conditions of includes (git-config(1), "Conditional includes"), decided without a git that looks at the repository.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::Setting;
use super::wildmatch::matches;

/// What conditions ask of a repository.
#[derive(Clone, Debug, Default)]
pub(crate) struct About {
    /// Its `.git`, or what stands for it.
    pub(crate) folder: PathBuf,
    /// The same as the user went there, where that is over links.
    pub(crate) over_links: Option<PathBuf>,
    /// The branch that is checked out.
    pub(crate) branch: Option<Vec<u8>>,
    /// Addresses of its remotes.
    pub(crate) remotes: Vec<Vec<u8>>,
    /// The user's.
    pub(crate) home: Option<PathBuf>,
}

impl About {
    /// The file that a setting includes: a path as it is written, if the setting includes any and its condition holds.
    /// `file` is where the setting stands.
    pub(super) fn included<'a>(&self, setting: &'a Setting, file: &Path) -> Option<&'a [u8]> {
        if setting.name != b"path" {
            return None;
        }
        let holds = match (&*setting.section, &setting.subsection) {
            (b"include", None) => true,
            (b"includeif", Some(condition)) => self.holds(condition, file),
            _ => false,
        };
        setting.value.as_deref().filter(|_| holds)
    }

    /// How many steps it takes to decide a setting's condition, at most: a repository has the lengths of both sides.
    pub(super) fn cost(&self, setting: &Setting) -> u64 {
        let Some(condition) = setting
            .subsection
            .as_ref()
            .filter(|_| setting.section == b"includeif")
        else {
            return 0;
        };
        let texts = if condition.starts_with(b"gitdir") {
            self.folders().map(|folder| folder.as_os_str().len()).sum()
        } else if condition.starts_with(b"onbranch:") {
            self.branch.as_ref().map_or(0, Vec::len)
        } else {
            self.remotes.iter().map(|url| url.len() + 1).sum()
        };
        condition.len() as u64 * (texts as u64 + 1)
    }

    fn holds(&self, condition: &[u8], file: &Path) -> bool {
        if let Some(pattern) = condition.strip_prefix(b"gitdir:") {
            self.lies_in(pattern, file, false)
        } else if let Some(pattern) = condition.strip_prefix(b"gitdir/i:") {
            self.lies_in(pattern, file, true)
        } else if let Some(pattern) = condition.strip_prefix(b"onbranch:") {
            let pattern = with_all_below(pattern.to_vec());
            self.branch
                .as_ref()
                .is_some_and(|branch| matches(&pattern, branch, false))
        } else if let Some(pattern) = condition.strip_prefix(b"hasconfig:remote.*.url:") {
            self.remotes.iter().any(|url| matches(pattern, url, false))
        } else {
            // As git does with one that it does not know.
            false
        }
    }

    fn folders(&self) -> impl Iterator<Item = &Path> {
        [Some(&*self.folder), self.over_links.as_deref()]
            .into_iter()
            .flatten()
    }

    fn lies_in(&self, pattern: &[u8], file: &Path, ignore_case: bool) -> bool {
        // Literally, whatever the folder of the file is called; that of the user is part of the pattern, as with git.
        let mut literal = Vec::new();
        let pattern = &*with_all_below(pattern.to_vec());
        let pattern = if let Some(rest) = pattern.strip_prefix(b"./") {
            let file = file.canonicalize().unwrap_or_else(|_| file.to_owned());
            literal = below(file.parent().unwrap_or(Path::new("/")), b"");
            rest.to_vec()
        } else if let Some(rest) = pattern.strip_prefix(b"~/") {
            let Some(home) = &self.home else { return false };
            below(&home.canonicalize().unwrap_or_else(|_| home.clone()), rest)
        } else if pattern.first() == Some(&b'/') {
            pattern.to_vec()
        } else {
            with_all_below([b"**/", pattern].concat())
        };
        self.folders().any(|folder| {
            let folder = folder.as_os_str().as_bytes();
            folder
                .split_at_checked(literal.len())
                .is_some_and(|(before, rest)| {
                    let is_there = match ignore_case {
                        true => before.eq_ignore_ascii_case(&literal),
                        false => before == literal,
                    };
                    is_there && matches(&pattern, rest, ignore_case)
                })
        })
    }

    /// A path of a setting's value: below the user's home, beside the file, or from the root.
    pub(super) fn path(&self, value: &[u8], file: &Path) -> Option<PathBuf> {
        let text = |bytes: &[u8]| PathBuf::from(std::ffi::OsStr::from_bytes(bytes));
        if let Some(rest) = value.strip_prefix(b"~/") {
            return Some(self.home.as_ref()?.join(text(rest)));
        }
        if value.first() == Some(&b'~') || value.starts_with(b"%(prefix)") || value.is_empty() {
            return None;
        }
        Some(file.parent().unwrap_or(Path::new("/")).join(text(value)))
    }
}

fn below(folder: &Path, rest: &[u8]) -> Vec<u8> {
    [folder.as_os_str().as_bytes(), b"/", rest].concat()
}

/// A pattern that ends with a slash stands for all that is below.
fn with_all_below(mut pattern: Vec<u8>) -> Vec<u8> {
    if pattern.last() == Some(&b'/') {
        pattern.extend_from_slice(b"**");
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_holds_by_folder_branch_or_remote() {
        let about = About {
            folder: "/home/ada/work/site/.git".into(),
            over_links: Some("/home/ada/link/.git".into()),
            branch: Some(b"topic/one".to_vec()),
            remotes: vec![b"https://example.org/site.git".to_vec()],
            home: Some("/home/ada".into()),
        };
        for (condition, expected) in [
            ("gitdir:~/work/", true),
            ("gitdir:~/other/", false),
            ("gitdir:work/", true),
            ("gitdir:/home/ada/work/site/.git", true),
            ("gitdir:./work/", true),
            ("gitdir:./", true),
            ("gitdir:./*/site/.git", true),
            ("gitdir/i:./WORK/", true),
            ("gitdir:~/link/", true),
            ("gitdir:./link/", true),
            ("gitdir:/HOME/ada/", false),
            ("gitdir/i:/HOME/ada/", true),
            ("onbranch:topic/", true),
            ("onbranch:main", false),
            ("hasconfig:remote.*.url:https://example.org/**", true),
            ("hasconfig:remote.*.url:https://example.com/**", false),
            ("weekday:sunday", false),
        ] {
            let holds = about.holds(condition.as_bytes(), Path::new("/home/ada/.gitconfig"));
            assert_eq!(holds, expected, "{condition}");
        }
        let odd = About {
            folder: "/home/[ada]*/work/.git".into(),
            ..About::default()
        };
        let holds = |condition: &[u8]| odd.holds(condition, Path::new("/home/[ada]*/.gitconfig"));
        assert!(holds(b"gitdir:./work/") && holds(b"gitdir/i:./WORK/") && !holds(b"gitdir:./other/"));
    }
}
