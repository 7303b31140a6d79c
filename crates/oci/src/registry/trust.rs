//! Whom TLS believes: the system's certificates, so that what an administrator has added counts, and the configured.

use std::fs;
use std::path::{Path, PathBuf};

use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use crate::error::OciError;

/// Where distributions keep their bundle.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// What a client that believes the system's certificates, and these in PEM, is made of.
///
/// # Errors
/// [`OciError::Certificates`].
pub fn tls(configured: &[u8]) -> Result<TlsConfig, OciError> {
    let mut certificates = system();
    for item in parse_pem(configured) {
        let item = item.map_err(|source| OciError::Certificates {
            path: PathBuf::from("(configuration)"),
            source: Box::new(source),
        })?;
        if let PemItem::Certificate(certificate) = item {
            certificates.push(certificate);
        }
    }
    let roots = RootCerts::new_with_certs(&certificates);
    Ok(TlsConfig::builder().root_certs(roots).build())
}

/// The first bundle that is there. One broken certificate in it takes nothing from the others; no bundle means that
/// no server but the configured is believed, which TLS then says.
fn system() -> Vec<Certificate<'static>> {
    let bundle = BUNDLES.iter().find_map(|path| fs::read(Path::new(path)).ok());
    let certificates = parse_pem(bundle.as_deref().unwrap_or_default()).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    certificates.collect()
}
