//! Certificate authorities that the host trusts beyond its distribution's: the guest trusts them too.
//!
//! Nothing is executed for it: an image may lack the program, and its hooks take seconds. The files in
//! `/usr/local/share` are what `update-ca-certificates` takes up when the image runs it later.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::files::{about, read, replace};

/// Where a distribution's tools look for local certificates.
const LOCAL: &str = "usr/local/share/ca-certificates";

/// Bundles that programs read: Debian and Alpine, Fedora, SUSE, OpenSSL's own.
const BUNDLES: [&str; 4] = [
    "etc/ssl/certs/ca-certificates.crt",
    "etc/pki/tls/certs/ca-bundle.crt",
    "etc/ssl/ca-bundle.pem",
    "etc/ssl/cert.pem",
];

/// Links that are followed to a bundle.
const MAX_LINKS: usize = 8;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// What is wrong with certificates.
#[derive(Debug, thiserror::Error)]
pub(super) enum PemError {
    /// No certificate in it.
    #[error("the certificates have no `{BEGIN}` line")]
    Empty,
    /// A certificate without its end.
    #[error("a certificate has no `{END}` line")]
    Cut,
    /// A line that is not base64.
    #[error("a certificate has a line that is not base64")]
    NotBase64,
}

/// The certificates of a PEM text, each as its lines. Text between them is left out.
pub(super) fn split(pem: &str) -> Result<Vec<String>, PemError> {
    let base64 = |line: &str| {
        let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
        !line.is_empty() && line.bytes().all(sound)
    };
    let mut certificates = Vec::new();
    let mut current: Option<String> = None;
    for line in pem.lines().map(str::trim) {
        match &mut current {
            None if line == BEGIN => current = Some(format!("{BEGIN}\n")),
            None => {}
            Some(_) if line == END => {
                let certificate = current.take().unwrap_or_default() + END + "\n";
                if !certificates.contains(&certificate) {
                    certificates.push(certificate);
                }
            }
            Some(text) if base64(line) => {
                text.push_str(line);
                text.push('\n');
            }
            Some(_) => return Err(PemError::NotBase64),
        }
    }
    match current {
        Some(_) => Err(PemError::Cut),
        None if certificates.is_empty() => Err(PemError::Empty),
        None => Ok(certificates),
    }
}

/// Makes the guest trust these, and no longer those of an earlier time that are not among them (as far as its own
/// tools rebuild the bundles).
pub(super) fn trust(root: &Path, pem: Option<&str>) -> io::Result<()> {
    let certificates = match pem {
        Some(pem) => split(pem).map_err(io::Error::other)?,
        None => Vec::new(),
    };
    let local = root.join(LOCAL);
    let mut number = 0;
    for certificate in &certificates {
        number += 1;
        let path = local.join(format!("banger-{number}.crt"));
        replace(&path, certificate.as_bytes(), 0o644).map_err(about(&path))?;
    }
    remove_from(&local, number + 1)?;
    if certificates.is_empty() {
        return Ok(());
    }
    for bundle in bundles(root) {
        add(&bundle, &certificates).map_err(about(&bundle))?;
    }
    Ok(())
}

/// Removes the files of an earlier time, when there were more.
fn remove_from(local: &Path, first: u32) -> io::Result<()> {
    for number in first.. {
        let path = local.join(format!("banger-{number}.crt"));
        match fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            Err(error) => return Err(about(&path)(error)),
        }
    }
    Ok(())
}

/// The bundles that exist, each once, links followed; the first of the list where there is none.
fn bundles(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for bundle in BUNDLES {
        if let Some(path) = follow(root, &root.join(bundle))
            && path.is_file()
            && !found.contains(&path)
        {
            found.push(path);
        }
    }
    if found.is_empty() {
        // A link to a place that is not there yet gets its target.
        found.extend(follow(root, &root.join(BUNDLES[0])));
    }
    found
}

/// Where a path leads to whose last part may be a link.
fn follow(root: &Path, path: &Path) -> Option<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        let Ok(target) = fs::read_link(&path) else {
            let folder = fs::canonicalize(path.parent()?);
            return Some(folder.map_or_else(
                |_| path.clone(),
                |folder| match path.file_name() {
                    Some(name) => folder.join(name),
                    None => folder,
                },
            ));
        };
        path = match target.strip_prefix("/") {
            Ok(target) => root.join(target),
            Err(_) => path.parent()?.join(target),
        };
    }
    None
}

/// Appends to the bundle what it does not hold.
fn add(bundle: &Path, certificates: &[String]) -> io::Result<()> {
    let mut content = read(bundle)?;
    let before = content.len();
    for certificate in certificates {
        if contains(&content, certificate.as_bytes()) {
            continue;
        }
        if content.last().is_some_and(|&byte| byte != b'\n') {
            content.push(b'\n');
        }
        content.extend_from_slice(certificate.as_bytes());
    }
    if content.len() == before {
        return Ok(());
    }
    replace(bundle, &content, 0o644)
}

fn contains(content: &[u8], certificate: &[u8]) -> bool {
    // The text is long and the same in each certificate up to the first line of base64: skip from head to head.
    let mut rest = content;
    while let Some(at) = find(rest, BEGIN.as_bytes()) {
        rest = &rest[at..];
        if rest.starts_with(certificate) {
            return true;
        }
        rest = &rest[BEGIN.len()..];
    }
    false
}

fn find(content: &[u8], text: &[u8]) -> Option<usize> {
    content.windows(text.len()).position(|window| window == text)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use proptest::prelude::*;

    use super::*;

    const ONE: &str = "-----BEGIN CERTIFICATE-----\nAAAA\nBBBB==\n-----END CERTIFICATE-----\n";
    const TWO: &str = "-----BEGIN CERTIFICATE-----\nAAAA\nCCCC==\n-----END CERTIFICATE-----\n";
    const DISTRIBUTIONS: &str = "# comment\n-----BEGIN CERTIFICATE-----\nDDDD\n-----END CERTIFICATE-----";

    fn root_with(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        root
    }

    #[test]
    fn certificates_are_added_to_the_bundle_once_however_often_it_boots() {
        let root = root_with(&[(BUNDLES[0], DISTRIBUTIONS)]);
        let pem = format!("subject=one\n{ONE}\n{TWO}{ONE}").replace('\n', "\r\n");
        for _ in 0..2 {
            trust(root.path(), Some(&pem)).unwrap();
            let bundle = fs::read_to_string(root.path().join(BUNDLES[0])).unwrap();
            assert_eq!(bundle, format!("{DISTRIBUTIONS}\n{ONE}{TWO}"));
        }
        let local = root.path().join(LOCAL);
        assert_eq!(fs::read_to_string(local.join("banger-2.crt")).unwrap(), TWO);
        assert!(!local.join("banger-3.crt").exists());
    }

    #[test]
    fn certificates_of_an_earlier_time_are_taken_back() {
        let root = root_with(&[(BUNDLES[0], DISTRIBUTIONS)]);
        trust(root.path(), Some(&format!("{ONE}{TWO}"))).unwrap();
        trust(root.path(), None).unwrap();
        assert!(!root.path().join(LOCAL).join("banger-1.crt").exists());
        assert!(!root.path().join(LOCAL).join("banger-2.crt").exists());
    }

    #[test]
    fn a_linked_bundle_stays_a_link_and_its_target_grows_once() {
        let target = "etc/pki/extracted/tls.pem";
        let root = root_with(&[
            (target, DISTRIBUTIONS),
            ("etc/ssl/certs/x", ""),
            ("etc/pki/tls/certs/x", ""),
        ]);
        symlink("/etc/pki/extracted/tls.pem", root.path().join(BUNDLES[1])).unwrap();
        symlink("certs/ca-certificates.crt", root.path().join(BUNDLES[3])).unwrap();
        symlink("../../pki/tls/certs/ca-bundle.crt", root.path().join(BUNDLES[0])).unwrap();
        trust(root.path(), Some(ONE)).unwrap();
        assert_eq!(
            fs::read_to_string(root.path().join(target)).unwrap(),
            format!("{DISTRIBUTIONS}\n{ONE}")
        );
        assert!(fs::read_link(root.path().join(BUNDLES[0])).is_ok());
    }

    #[test]
    fn an_image_without_a_bundle_gets_one_and_a_circle_of_links_none() {
        let root = root_with(&[]);
        trust(root.path(), Some(ONE)).unwrap();
        assert_eq!(fs::read_to_string(root.path().join(BUNDLES[0])).unwrap(), ONE);

        let root = root_with(&[("etc/ssl/certs/x", "")]);
        symlink("ca-certificates.crt", root.path().join(BUNDLES[0])).unwrap();
        trust(root.path(), Some(ONE)).unwrap();
        assert!(fs::read_link(root.path().join(BUNDLES[0])).is_ok());
    }

    #[test]
    fn text_that_is_no_certificate_is_refused() {
        assert!(matches!(split("hello"), Err(PemError::Empty)));
        assert!(matches!(
            split(&ONE.replace("-----END CERTIFICATE-----", "")),
            Err(PemError::NotBase64)
        ));
        assert!(matches!(
            split(ONE.trim_end_matches("-----END CERTIFICATE-----\n")),
            Err(PemError::Cut)
        ));
        assert!(matches!(
            split(&ONE.replace("AAAA", "A A")),
            Err(PemError::NotBase64)
        ));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_splitter_panic(lines in proptest::collection::vec("-----BEGIN CERTIFICATE-----|-----END CERTIFICATE-----|[A-Za=]{0,9}|\\PC{0,9}", 0..12)) {
            if let Ok(certificates) = split(&lines.join("\n")) {
                prop_assert!(certificates.iter().all(|one| one.starts_with(BEGIN) && one.ends_with("-----END CERTIFICATE-----\n")));
            }
        }
    }
}
