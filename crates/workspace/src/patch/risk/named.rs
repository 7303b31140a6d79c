//! Paths of the tree that the settings of git name here: a folder of hooks, a file that is included, a script that is a
//! filter. A guest that changes such a file has its program run when git is used next.

use std::collections::HashSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

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
        let home = repository.git.host().home.as_deref();
        let home = home.map(|home| home.as_os_str().as_bytes());
        let mut named = Self::of(&repository.settings.listed(), top, home);
        named.hooks(&repository.common, &repository.top);
        named
    }

    /// Hooks of the repository's own that are links into the tree, or all of them where their folder is one.
    fn hooks(&mut self, common: &Path, top: &Path) {
        let hooks = common.join("hooks");
        let inside = |path: &Path| {
            let real = path.canonicalize().ok()?;
            let below = real.strip_prefix(top).ok()?;
            let hidden = below.starts_with(".git") || below.as_os_str().is_empty();
            (!hidden).then(|| below.as_os_str().as_bytes().to_vec())
        };
        self.folders.extend(inside(&hooks));
        for entry in fs::read_dir(&hooks).into_iter().flatten().flatten() {
            let path = entry.path();
            let Ok(target) = fs::read_link(&path) else {
                continue;
            };
            self.files.extend(inside(&path));
            // As it is written, too: what is on the way may become something else.
            let written = hooks.join(target);
            self.files.extend(below(
                written.as_os_str().as_bytes(),
                b"",
                top.as_os_str().as_bytes(),
            ));
        }
    }

    fn of(printed: &[u8], top: &[u8], home: Option<&[u8]>) -> Self {
        let mut named = Self::default();
        // What is included is found from the file that says so.
        let settings = home.map(|home| [home, b"/.config/git"].concat());
        let bases = [Some(&b""[..]), Some(b".git"), home, settings.as_deref()];
        for entry in printed.split(|byte| *byte == 0) {
            let mut parts = entry.splitn(2, |byte| *byte == b'\n');
            let (Some(key), Some(value)) = (parts.next(), parts.next()) else {
                continue;
            };
            let section = key.split(|byte| *byte == b'.').next().unwrap_or_default();
            let address = key.ends_with(b".url") || key.ends_with(b".pushurl");
            if address || OTHERS.iter().any(|other| other.as_bytes() == section) {
                continue;
            }
            let is_folder = matches!(key, b"core.hookspath" | b"init.templatedir");
            for path in [value].into_iter().chain(words(value)) {
                let at_home = path.strip_prefix(b"~/").zip(home);
                let at_home = at_home.map(|(rest, home)| [home, b"/", rest].concat());
                let path = at_home.as_deref().unwrap_or(path);
                for base in bases.into_iter().flatten() {
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

/// The path below the tree's top that a setting's means, seen from a folder: one of the tree's, or by its whole path.
fn below(path: &[u8], base: &[u8], top: &[u8]) -> Option<Vec<u8>> {
    let whole = match (path, base) {
        ([b'/', ..], _) => path.to_vec(),
        ([b'~', ..], _) => return None,
        (_, [b'/', ..]) => [base, b"/", path].concat(),
        _ => [top, b"/", base, b"/", path].concat(),
    };
    let mut names: Vec<&[u8]> = Vec::new();
    for name in whole.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => {
                names.pop();
            }
            name => names.push(name),
        }
    }
    let top: Vec<&[u8]> = top
        .split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty())
        .collect();
    let names = names.strip_prefix(&top[..])?;
    // What is in `.git` no patch reaches.
    (names.first() != Some(&&b".git"[..]) && !names.is_empty()).then(|| names.join(&b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_settings_name_is_found_and_what_they_do_not_is_not() {
        let printed = b"core.hookspath\ndev/git\0include.path\n../conf/git\0\
            filter.x.clean\npython3 ./tools/clean.py --all %f\0core.attributesfile\n/home/a/top/attributes\0\
            alias.t\n!sh -c 'tools/t.sh'\0remote.x.url\n../other\0\
            core.bare\nfalse\0merge.x.driver\n/usr/bin/x %A\0a.b\0\
            include.path\n~/top/conf/home.inc\0include.path\ntop/conf/beside\0submodule.s.update\n!./tools/sub.sh\0\
            remote.o.uploadpack\n./tools/up.sh\0url.x.insteadof\nhttps://example.org/\0";
        let named = Named::of(printed, b"/home/a/top", Some(b"/home/a"));
        for path in [
            "dev/git/pre-commit",
            "dev/git",
            "conf/git",
            "tools/clean.py",
            "attributes",
            "tools/t.sh",
            "conf/home.inc",
            "conf/beside",
            "tools/sub.sh",
            "tools/up.sh",
        ] {
            assert!(named.holds(path.as_bytes()), "{path}");
        }
        for path in ["other", "dev/gitx", "conf", "tools", "usr/bin/x", "src/main.c"] {
            assert!(!named.holds(path.as_bytes()), "{path}");
        }
    }
}
