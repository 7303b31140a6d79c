//! Paths of the tree that the settings of git name here: a folder of hooks, a file that is included, a script that is a
//! filter. A guest that changes such a file has its program run when git is used next.

use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt;

use crate::repository::Repository;

/// Settings whose values are no paths.
const OTHERS: &[&str] = &[
    "advice",
    "branch",
    "color",
    "column",
    "extensions",
    "pull",
    "push",
    "remote",
    "submodule",
    "url",
    "user",
];

/// What they name.
#[derive(Debug, Default)]
pub(super) struct Named {
    files: HashSet<Vec<u8>>,
    folders: Vec<Vec<u8>>,
}

impl Named {
    pub(super) fn by(repository: &Repository) -> Self {
        let top = repository.top.as_os_str().as_bytes();
        Self::of(&repository.settings.listed(), top)
    }

    fn of(printed: &[u8], top: &[u8]) -> Self {
        let mut named = Self::default();
        for entry in printed.split(|byte| *byte == 0) {
            let mut parts = entry.splitn(2, |byte| *byte == b'\n');
            let (Some(key), Some(value)) = (parts.next(), parts.next()) else {
                continue;
            };
            let section = key.split(|byte| *byte == b'.').next().unwrap_or_default();
            if OTHERS.iter().any(|other| other.as_bytes() == section) {
                continue;
            }
            let is_folder = matches!(key, b"core.hookspath" | b"init.templatedir");
            for path in [value].into_iter().chain(words(value)) {
                for base in [&b""[..], b".git"] {
                    match below(path, base, top) {
                        Some(path) if is_folder => named.folders.push(path),
                        Some(path) => {
                            named.files.insert(path);
                        }
                        None => {}
                    }
                }
            }
        }
        named
    }

    pub(super) fn holds(&self, path: &[u8]) -> bool {
        let below = |folder: &Vec<u8>| {
            let rest = path.strip_prefix(folder.as_slice());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
        };
        self.files.contains(path) || self.folders.iter().any(below)
    }
}

/// The words of a command, whatever a shell makes of them.
fn words(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let ends = |byte: &u8| byte.is_ascii_whitespace() || b"'\"`!;|&()<>=,$:".contains(byte);
    value.split(ends).filter(|word| !word.is_empty())
}

/// The path below the tree's top that a setting's means, seen from there or from `.git`.
fn below(path: &[u8], base: &[u8], top: &[u8]) -> Option<Vec<u8>> {
    let (path, base) = match path.strip_prefix(top) {
        Some(rest) if rest.starts_with(b"/") => (rest, &b""[..]),
        _ if path.starts_with(b"/") || path.starts_with(b"~") => return None,
        _ => (path, base),
    };
    let mut names: Vec<&[u8]> = Vec::new();
    for name in [base, path]
        .into_iter()
        .flat_map(|part| part.split(|byte| *byte == b'/'))
    {
        match name {
            b"" | b"." => {}
            b".." => {
                names.pop()?;
            }
            name => names.push(name),
        }
    }
    // What is in `.git` no patch reaches.
    (names.first() != Some(&&b".git"[..]) && !names.is_empty()).then(|| names.join(&b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_settings_name_is_found_and_what_they_do_not_is_not() {
        let printed = b"core.hookspath\ndev/git\0include.path\n../conf/git\0\
            filter.x.clean\npython3 ./tools/clean.py --all %f\0core.attributesfile\n/top/attributes\0\
            alias.t\n!sh -c 'tools/t.sh'\0remote.x.url\n../other\0\
            core.bare\nfalse\0merge.x.driver\n/usr/bin/x %A\0a.b\0";
        let named = Named::of(printed, b"/top");
        for path in [
            "dev/git/pre-commit",
            "dev/git",
            "conf/git",
            "tools/clean.py",
            "attributes",
            "tools/t.sh",
        ] {
            assert!(named.holds(path.as_bytes()), "{path}");
        }
        for path in ["other", "dev/gitx", "conf", "tools", "usr/bin/x", "src/main.c"] {
            assert!(!named.holds(path.as_bytes()), "{path}");
        }
    }
}
