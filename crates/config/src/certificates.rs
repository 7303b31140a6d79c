//! Certificate authorities that this host trusts beyond its distribution's own.
//!
//! Behind a company's proxy a sandbox must still reach its registries, so guests get what the administrator has added
//! to the host. Only well-formed certificates are passed on, and only so many.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Where administrators put them: Debian, Fedora, Arch.
const DIRECTORIES: [&str; 3] = [
    "/usr/local/share/ca-certificates",
    "/etc/pki/ca-trust/source/anchors",
    "/etc/ca-certificates/trust-source/anchors",
];

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

const LARGEST_FILE: u64 = 1 << 20;
const LARGEST_CERTIFICATE: usize = 64 << 10;
const LARGEST_TOTAL: usize = 1 << 20;
const DEEPEST_DIRECTORY: usize = 4;

/// Why a configured file cannot be handed to guests.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// It cannot be read.
    #[error("cannot read the certificate file {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// It holds no certificate.
    #[error("{path} holds no PEM certificate")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// All of them together are more than a guest should be given.
    #[error("the additional certificates are more than {LARGEST_TOTAL} bytes")]
    TooMany,
}

/// The certificates, as PEM, that the host's administrator has added and those of `configured` files; `None` if there
/// are none. The order is stable and no certificate comes twice.
///
/// # Errors
/// A configured file that cannot be read or holds none. Files in the system's directories that are no certificates are
/// passed over, as the system's own tools do.
pub fn host_ca_certificates(configured: &[PathBuf]) -> Result<Option<String>, CertificateError> {
    collect(&DIRECTORIES.map(Path::new), configured)
}

fn collect(directories: &[&Path], configured: &[PathBuf]) -> Result<Option<String>, CertificateError> {
    let mut files = BTreeSet::new();
    for directory in directories {
        find_files(directory, 0, &mut files);
    }
    let mut certificates = Vec::new();
    for path in files {
        certificates.extend(read(&path).map(|text| certificates_in(&text)).unwrap_or_default());
    }
    for path in configured {
        let text = read(path).map_err(|source| CertificateError::Read {
            path: path.clone(),
            source,
        })?;
        let found = certificates_in(&text);
        if found.is_empty() {
            return Err(CertificateError::Empty { path: path.clone() });
        }
        certificates.extend(found);
    }
    let mut seen = BTreeSet::new();
    let mut pem = String::new();
    for certificate in certificates {
        if seen.insert(certificate.clone()) {
            write_pem(&certificate, &mut pem);
        }
        if pem.len() > LARGEST_TOTAL {
            return Err(CertificateError::TooMany);
        }
    }
    Ok((!pem.is_empty()).then_some(pem))
}

fn find_files(directory: &Path, depth: usize, files: &mut BTreeSet<PathBuf>) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        // Followed, as update-ca-certificates does: these directories are root's.
        if path.is_dir() {
            if depth < DEEPEST_DIRECTORY {
                find_files(&path, depth + 1, files);
            }
        } else if path
            .extension()
            .is_some_and(|extension| extension == "crt" || extension == "pem")
        {
            files.insert(path);
        }
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LARGEST_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(io::Error::other("it is larger than 1 MiB"));
    }
    // What is not a certificate (comments in any encoding) is dropped anyway.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The certificates in a PEM file, as DER. Anything else in it, private keys above all, is left out.
fn certificates_in(text: &str) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut body: Option<String> = None;
    for line in text.lines().map(str::trim) {
        match (&mut body, line) {
            (_, BEGIN) => body = Some(String::new()),
            (Some(base64), END) => {
                found.extend(
                    STANDARD
                        .decode(base64.as_bytes())
                        .ok()
                        .filter(|der| is_one_sequence(der)),
                );
                body = None;
            }
            (Some(base64), line) if base64.len() + line.len() <= LARGEST_CERTIFICATE => base64.push_str(line),
            (Some(_), _) => body = None,
            (None, _) => {}
        }
    }
    found
}

/// Whether the bytes are one DER SEQUENCE, from the first to the last: what an X.509 certificate is (RFC 5280, 4.1).
fn is_one_sequence(der: &[u8]) -> bool {
    match der {
        [0x30, 0x82, high, low, rest @ ..] => rest.len() == usize::from(*high) << 8 | usize::from(*low),
        [0x30, 0x81, length, rest @ ..] => rest.len() == usize::from(*length),
        _ => false,
    }
}

fn write_pem(der: &[u8], pem: &mut String) {
    let base64 = STANDARD.encode(der);
    pem.push_str(BEGIN);
    pem.push('\n');
    for line in base64.as_bytes().chunks(64) {
        pem.extend(line.iter().copied().map(char::from));
        pem.push('\n');
    }
    pem.push_str(END);
    pem.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pem(der: &[u8]) -> String {
        let mut text = String::new();
        write_pem(der, &mut text);
        text
    }

    fn der(fill: u8) -> Vec<u8> {
        [vec![0x30, 0x81, 200], vec![fill; 200]].concat()
    }

    #[test]
    fn certificates_of_directories_and_files_come_once_each_and_nothing_else_does() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("company");
        fs::create_dir(&below).unwrap();
        let key = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n";
        fs::write(
            folder.path().join("a.crt"),
            format!("subject=x\n{}{key}", pem(&der(1))),
        )
        .unwrap();
        fs::write(below.join("b.crt"), pem(&der(2)).replace('\n', "\r\n")).unwrap();
        fs::write(folder.path().join("readme.txt"), pem(&der(3))).unwrap();
        fs::write(
            folder.path().join("broken.crt"),
            format!("{BEGIN}\n!!!!\n{END}\n"),
        )
        .unwrap();
        let extra = folder.path().join("extra");
        fs::write(&extra, pem(&der(1)) + &pem(&der(4))).unwrap();
        let found = collect(&[folder.path()], &[extra]).unwrap().unwrap();
        assert_eq!(found, pem(&der(1)) + &pem(&der(2)) + &pem(&der(4)));
    }

    #[test]
    fn a_host_without_additions_gives_none() {
        assert_eq!(collect(&[Path::new("/proc/nonexistent")], &[]).unwrap(), None);
    }

    #[test]
    fn a_configured_file_that_is_missing_or_holds_none_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let error = collect(&[], std::slice::from_ref(&path)).unwrap_err();
        assert!(error.to_string().contains("ca.pem"), "{error}");
        fs::write(&path, "hello").unwrap();
        assert!(matches!(
            collect(&[], &[path]),
            Err(CertificateError::Empty { .. })
        ));
    }

    #[test]
    fn a_block_that_is_truncated_or_has_bytes_to_spare_is_left_out() {
        let whole = der(9);
        for bad in [&whole[..100], &[whole.as_slice(), &[0]].concat(), b"0", b""] {
            assert!(certificates_in(&pem(bad)).is_empty());
        }
        assert!(certificates_in(pem(&whole).trim_end_matches(&format!("{END}\n"))).is_empty());
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in ".{0,300}") {
            certificates_in(&text);
        }
    }
}
