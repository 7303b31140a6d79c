//! Where an image's name says that it comes from, before what it is called there: `oci:`, `docker-archive:` and those of
//! other tools, which are no registry's repositories.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Those that banger reads.
pub(crate) const FILES: [&str; 3] = ["oci-archive", "oci", "docker-archive"];

/// Those of skopeo, podman, buildkit and scanners. `docker` and `registry` alone are repositories of docker.io.
const OTHERS: [&str; 18] = [
    "atomic",
    "containers-storage",
    "dir",
    "docker-daemon",
    "docker-image",
    "docker-tar",
    "docker-tarball",
    "docker-transport",
    "oci-dir",
    "oci-image",
    "oci-layout",
    "oci-tar",
    "oci-tarball",
    "ostree",
    "podman-daemon",
    "sif",
    "singularity",
    "tarball",
];

/// The transport of a text that names one which is none of a registry's: of banger's own, of other tools, or a scheme.
pub(crate) fn named(text: &str) -> Option<&str> {
    let (name, rest) = text.split_once(':')?;
    let known = FILES.contains(&name) || OTHERS.contains(&name);
    let word = !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+.-".contains(&byte));
    (known || word && rest.starts_with("//")).then_some(name)
}

/// What to do about one that is not known, for the end of a message.
pub(crate) fn advice(transport: &str) -> &'static str {
    match transport {
        "docker" | "registry" | "http" | "https" => "a registry's image is named without one",
        "dir" | "oci-dir" | "oci-layout" | "oci-image" => "an OCI layout is `oci:DIR[:TAG]`",
        "docker-tar" | "docker-tarball" | "tarball" | "oci-tar" | "oci-tarball" => {
            "archives are `docker-archive:FILE[:NAME]` and `oci-archive:FILE[:TAG]`"
        }
        "docker-daemon" | "docker-image" | "containers-storage" | "podman-daemon" => {
            "save the image to a file first, and pull `docker-archive:FILE`"
        }
        _ => "known are `oci:`, `oci-archive:` and `docker-archive:`, and registries without one",
    }
}

/// Parts `FILE:NAME`: the file is the longest part before a `:` that is one; where none is, all of it is. Names of files
/// may hold `:` as those of images do, so that only who sees the files can tell.
#[must_use]
pub fn split_archive(written: &Path, is_file: impl Fn(&Path) -> bool) -> (PathBuf, Option<String>) {
    if is_file(written) {
        return (written.to_owned(), None);
    }
    let bytes = written.as_os_str().as_bytes();
    let colons = (0..bytes.len()).rev().filter(|at| bytes[*at] == b':');
    for at in colons {
        let file = Path::new(std::ffi::OsStr::from_bytes(&bytes[..at]));
        let name = str::from_utf8(&bytes[at + 1..])
            .ok()
            .filter(|name| !name.is_empty());
        if let Some(name) = name
            && !file.as_os_str().is_empty()
            && is_file(file)
        {
            return (file.to_owned(), Some(name.to_owned()));
        }
    }
    (written.to_owned(), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_goes_as_far_as_there_is_one_and_what_follows_is_the_image() {
        let files = ["a.tar", "a.tar:b", "c:d.tar"];
        for (written, file, name) in [
            ("a.tar", "a.tar", None),
            ("a.tar:x", "a.tar", Some("x")),
            ("a.tar:host:5000/x/y:1", "a.tar", Some("host:5000/x/y:1")),
            ("a.tar:@1", "a.tar", Some("@1")),
            ("a.tar:b", "a.tar:b", None),
            ("a.tar:b:c", "a.tar:b", Some("c")),
            ("c:d.tar", "c:d.tar", None),
            ("c:d.tar:1", "c:d.tar", Some("1")),
            ("a.tar:", "a.tar:", None),
            ("none.tar:x", "none.tar:x", None),
            (":x", ":x", None),
        ] {
            let found = split_archive(Path::new(written), |path| {
                files.iter().any(|file| Path::new(file) == path)
            });
            assert_eq!(found, (PathBuf::from(file), name.map(str::to_owned)), "{written}");
        }
    }

    #[test]
    fn transports_are_told_from_repositories_of_the_same_letters() {
        for (text, transport) in [
            ("docker://alpine", Some("docker")),
            ("https://ghcr.io/a/b", Some("https")),
            ("ssh+git://x", Some("ssh+git")),
            ("docker-daemon:alpine:3", Some("docker-daemon")),
            ("containers-storage:alpine", Some("containers-storage")),
            ("dir:/tmp/x", Some("dir")),
            ("sif:x", Some("sif")),
            ("oci:dir", Some("oci")),
            ("docker:dind", None),
            ("registry:2", None),
            ("alpine:3.19", None),
            ("localhost:5000/dir:1", None),
            ("host.x/dir:1", None),
            ("me/docker-daemon:1", None),
            ("://x", None),
            ("dir", None),
        ] {
            assert_eq!(named(text), transport, "{text}");
        }
    }
}
