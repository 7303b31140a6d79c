//! What apt, and what it starts, reads of the host: names, certificates, keys, logins for mirrors, and mirrors that are
//! folders. Nothing else of the host is shown to them but programs.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Component, Path, PathBuf};

use process::{Confinement, IdRange};

use super::sources::Source;
use crate::error::CatalogError;
use crate::workdir::WorkDir;

/// Those that each of them may read, where the host has them.
const ALWAYS: [&str; 19] = [
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/protocols",
    "/etc/passwd",
    "/etc/group",
    "/etc/localtime",
    "/etc/os-release",
    "/etc/debian_version",
    "/etc/perl",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/gnutls/config",
    "/etc/pki/tls/certs",
    "/etc/apt/trusted.gpg",
    "/etc/apt/trusted.gpg.d",
];
const LOGINS: &str = "/etc/apt/auth.conf";
const MORE_LOGINS: &str = "/etc/apt/auth.conf.d";
/// A larger file is shown as it is, or not at all.
const COPY_LIMIT: u64 = 16 * 1024 * 1024;

/// Paths of the host, none of them in another one.
#[derive(Debug)]
pub(crate) struct HostFiles(Vec<PathBuf>);

impl HostFiles {
    /// For these sources, with the host's configuration of how mirrors are reached.
    pub(crate) fn of(sources: &[Source], configuration: &str) -> Self {
        let logins = fs::read_dir(MORE_LOGINS).into_iter().flatten().flatten();
        let named = configuration
            .lines()
            .filter_map(|line| line.strip_suffix("\";")?.split_once(" \""))
            .map(|(_, value)| PathBuf::from(value));
        let keys = sources.iter().filter_map(|source| source.signed_by.as_deref());
        let folders = sources.iter().filter_map(|source| folder_of(&source.uri));
        let all = ALWAYS.into_iter().chain([LOGINS]).map(PathBuf::from);
        let all = all
            .chain(logins.map(|entry| entry.path()))
            .chain(named)
            .chain(keys.map(PathBuf::from))
            .chain(folders);
        Self(outermost(all.filter(|path| is_plain(path) && path.exists())))
    }

    /// Shows them as they are, under their own paths.
    pub(crate) fn show(&self, confinement: &mut Confinement) {
        for path in &self.0 {
            if let Ok(real) = path.canonicalize() {
                confinement.show(real, path);
            }
        }
    }

    /// Shows them to the users of a range, who are others on the host than those who may read them, or own them: of files,
    /// copies.
    pub(crate) fn show_to(
        &self,
        range: &IdRange,
        folder: &WorkDir,
        confinement: &mut Confinement,
    ) -> Result<(), CatalogError> {
        let copies = folder.folder("host")?;
        for (number, path) in self.0.iter().enumerate() {
            let Ok(real) = path.canonicalize() else {
                continue;
            };
            let Some(metadata) = real
                .metadata()
                .ok()
                .filter(|data| data.is_file() && data.len() <= COPY_LIMIT)
            else {
                confinement.show(real, path);
                continue;
            };
            let copy = copies.join(number.to_string());
            let (user, group) = range.root();
            let mode = metadata.permissions().mode() & 0o444 | 0o400;
            fs::copy(&real, &copy)
                .and_then(|_| fs::set_permissions(&copy, fs::Permissions::from_mode(mode)))
                .and_then(|()| chown(&copy, Some(user), Some(group)))
                .map_err(|source| CatalogError::file("copy", path, source))?;
            confinement.show(copy, path);
        }
        Ok(())
    }
}

/// The folder of a mirror that is one: `file:/…`, `file:///…`, `copy:/…`.
fn folder_of(uri: &str) -> Option<PathBuf> {
    let (scheme, rest) = uri.split_once(':')?;
    let path = rest.strip_prefix("//").unwrap_or(rest);
    (scheme.ends_with("file") || scheme == "copy").then(|| PathBuf::from(path))
}

/// Whether it can be shown, and is not shown with the programs.
fn is_plain(path: &Path) -> bool {
    let mut components = path.components();
    components.next() == Some(Component::RootDir)
        && components.clone().next().is_some()
        && components.all(|component| matches!(component, Component::Normal(_)))
        && !Confinement::is_shown_with_programs(path)
}

fn outermost(paths: impl Iterator<Item = PathBuf>) -> Vec<PathBuf> {
    // In this order, what is in a folder comes right after it.
    let sorted: BTreeSet<PathBuf> = paths.collect();
    let mut outermost: Vec<PathBuf> = Vec::new();
    for path in sorted {
        if outermost.last().is_none_or(|folder| !path.starts_with(folder)) {
            outermost.push(path);
        }
    }
    outermost
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_paths_in_one_another_the_outermost_is_taken_and_none_that_cannot_be_shown() {
        let paths = ["/b/c/d", "/b", "/a", "/b-c", "/b/c"].map(PathBuf::from);
        let expected = ["/a", "/b", "/b-c"].map(PathBuf::from);
        assert_eq!(outermost(paths.into_iter()), expected);
        for (path, plain) in [
            ("/etc/hosts", true),
            ("/usr/share/keyrings/x.gpg", false),
            ("/", false),
            ("", false),
            ("a", false),
            ("/a/../b", false),
            ("8A2F", false),
        ] {
            assert_eq!(is_plain(Path::new(path)), plain, "{path:?}");
        }
    }

    #[test]
    fn a_mirror_that_is_a_folder_is_known_by_its_address() {
        for (uri, folder) in [
            ("file:///srv/mirror", Some("/srv/mirror")),
            ("file:/srv/mirror", Some("/srv/mirror")),
            ("copy:/srv/mirror", Some("/srv/mirror")),
            ("mirror+file:/etc/apt/mirrors.txt", Some("/etc/apt/mirrors.txt")),
            ("http://m/debian", None),
            ("nothing", None),
        ] {
            assert_eq!(folder_of(uri), folder.map(PathBuf::from), "{uri}");
        }
    }

    #[test]
    fn files_that_the_configuration_and_the_sources_name_are_among_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| {
            let path = folder.path().join(name);
            fs::write(&path, "").unwrap();
            path
        };
        let (certificate, key, mirror) = (path("ca.pem"), path("key.asc"), folder.path().join("mirror"));
        fs::create_dir(&mirror).unwrap();
        let source = Source {
            uri: format!("file://{}", mirror.display()),
            suite: "s".into(),
            components: Vec::new(),
            signed_by: Some(key.display().to_string()),
            check_valid_until: None,
        };
        let configuration = format!(
            "Acquire::https::CaInfo \"{}\";\nAcquire::http::Proxy \"http://p:1\";\nAcquire::https::SslKey \"/nowhere\";\n",
            certificate.display()
        );
        let HostFiles(paths) = HostFiles::of(&[source], &configuration);
        for path in [&certificate, &key, &mirror] {
            assert!(paths.contains(path), "{path:?}");
        }
        assert!(!paths.iter().any(|path| path.ends_with("nowhere")));
    }
}
