//! Paths of the tree that the settings of git name here: a folder of hooks, a file that is included, a script that is a
//! filter. A guest that changes such a file has its program run when git is used next.
//!
//! Taken in are all files of the user's settings, whatever conditions they are included on, and each link on the way from
//! a name to what it means.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use process::FileRights;

use super::way::Way;
use super::words::{Meaning, words};
use crate::config::{Settings, all_of_user};
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
    /// Ends of paths: what stands before them is known only when a shell has run.
    ends: HashSet<Vec<u8>>,
}

impl Named {
    pub(super) fn by(repository: &Repository) -> Self {
        let host = repository.git.host();
        let mut way = Way::in_tree(&repository.top);
        let mut named = Self::default();
        named.hooks(&repository.common, &mut way);
        // Whose home that is, and whose links.
        let _own = FileRights::own();
        let (user, files) = all_of_user(host);
        for file in files {
            named.files.extend(way.follow(&file));
        }
        let programs: Vec<PathBuf> = std::env::split_paths(&host.path)
            .map(|folder| repository.top.join(folder))
            .collect();
        // The user's first: what the repository says can be more than is looked at.
        for settings in [&user, &*repository.settings] {
            named.add(settings, host.home.as_deref(), &programs, &mut way);
        }
        named
    }

    /// Hooks of the repository's own that are links into the tree, or all of them where their folder is one.
    fn hooks(&mut self, common: &Path, way: &mut Way) {
        let hooks = common.join("hooks");
        self.folders.extend(way.follow(&hooks));
        for entry in fs::read_dir(&hooks).into_iter().flatten().flatten() {
            let path = entry.path();
            self.files.extend(way.follow(&path));
            if let Ok(target) = fs::read_link(&path) {
                // As it is written, too: what is on the way may become something else.
                self.files.extend(way.as_written(&hooks.join(target)));
            }
        }
    }

    fn add(&mut self, settings: &Settings, home: Option<&Path>, programs: &[PathBuf], way: &mut Way) {
        // What is included is found from the file that says so.
        let configuration = home.map(|home| home.join(".config/git"));
        let bases = [Some(Path::new("")), Some(Path::new(".git")), home];
        let bases: Vec<PathBuf> = bases
            .into_iter()
            .flatten()
            .chain(configuration.as_deref())
            .map(|base| way.top().join(base))
            .collect();
        for setting in &settings.0 {
            let address = matches!(&*setting.name, b"url" | b"pushurl") && setting.subsection.is_some();
            let other = OTHERS.iter().any(|other| other.as_bytes() == setting.section);
            let Some(value) = setting.value.as_ref().filter(|_| !address && !other) else {
                continue;
            };
            let is_folder = setting.is("core", "hookspath") || setting.is("init", "templatedir");
            let mut paths = vec![&value[..]];
            for meaning in words(value) {
                match meaning {
                    Meaning::Path(path) => paths.push(path),
                    Meaning::End(end) => {
                        self.ends.insert(end);
                    }
                    Meaning::Tail(tail) => self.tail(tail),
                }
            }
            for path in paths {
                let text = |path: &[u8]| PathBuf::from(OsStr::from_bytes(path));
                let places: Vec<PathBuf> = match (path.strip_prefix(b"~/"), home) {
                    (Some(rest), Some(home)) => vec![home.join(text(rest))],
                    _ if path.starts_with(b"~") => continue,
                    // The same from all of them if it is a whole one.
                    _ if path.starts_with(b"/") => vec![text(path)],
                    _ => bases.iter().map(|base| base.join(text(path))).collect(),
                };
                for place in places {
                    let found = way.as_written(&place).into_iter().chain(way.follow(&place));
                    match is_folder {
                        true => self.folders.extend(found),
                        false => self.files.extend(found),
                    }
                }
                if !path.contains(&b'/') {
                    for folder in programs {
                        self.files.extend(way.follow_existing(&folder.join(text(path))));
                    }
                }
            }
        }
    }

    /// A path whose beginning may be that of the tree, or anything below it.
    fn tail(&mut self, tail: Vec<u8>) {
        let slashes = tail.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let shorter = slashes.map(|(slash, _)| tail[slash + 1..].to_vec());
        self.files.extend(shorter);
        self.ends.insert(tail);
    }

    pub(super) fn holds(&self, path: &[u8]) -> bool {
        let below = |folder: &Vec<u8>| {
            let rest = path.strip_prefix(folder.as_slice());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
        };
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let mut ends = slashes.map(|(slash, _)| &path[slash + 1..]).chain([path]);
        self.files.contains(path) || self.folders.iter().any(below) || ends.any(|end| self.ends.contains(end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Setting;

    #[test]
    fn what_settings_name_is_found_and_what_they_do_not_is_not() {
        let settings = [
            ("core.hookspath", "dev/git"),
            ("include.path", "../conf/git"),
            ("filter.x.clean", "python3 ./tools/clean.py --all %f"),
            ("core.attributesfile", "/home/a/top/attributes"),
            ("alias.t", "!sh -c 'tools/t.sh'"),
            ("remote.x.url", "../other"),
            ("core.bare", "false"),
            ("merge.x.driver", "/usr/bin/x %A"),
            ("include.path", "~/top/conf/home.inc"),
            ("include.path", "top/conf/beside"),
            ("submodule.s.update", "!./tools/sub.sh"),
            ("remote.o.uploadpack", "./tools/up.sh"),
            ("url.x.insteadof", "https://example.org/"),
            (
                "core.fsmonitor",
                "\"$(git rev-parse --show-toplevel)\"/watch/one.sh",
            ),
            ("core.pager", "cd pages && ./two.sh"),
            ("core.editor", "cd editors; sh three.sh"),
            ("alias.h", "!$HOME/top/four.sh; ${X}/five/six.sh; `pwd`/seven.sh"),
        ];
        let settings = settings
            .map(|(key, value)| Setting::of_key(key.as_bytes(), Some(value.as_bytes().to_vec())).unwrap());
        let mut named = Named::default();
        let mut way = Way::in_tree(Path::new("/home/a/top"));
        named.add(
            &Settings(settings.into()),
            Some(Path::new("/home/a")),
            &[],
            &mut way,
        );
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
            "watch/one.sh",
            "pages/two.sh",
            "editors/three.sh",
            "four.sh",
            "below/five/six.sh",
            "seven.sh",
        ] {
            assert!(named.holds(path.as_bytes()), "{path}");
        }
        for path in [
            "other",
            "dev/gitx",
            "conf",
            "tools",
            "usr/bin/x",
            "src/main.c",
            "x",
            "one.sh.c",
            "src/false",
            "src/python3",
        ] {
            assert!(!named.holds(path.as_bytes()), "{path}");
        }
    }
}
