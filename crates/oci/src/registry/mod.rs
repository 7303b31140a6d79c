//! A client for registries (OCI distribution specification 1.1): resolves a reference, checks every byte against its
//! digest, and leaves layers in the cache. Blocking; nothing is trusted but the reference and the certificates.

mod agents;
mod auth;
mod challenge;
mod download;
mod held;
mod http;
mod local;
mod mirror;
mod origin;
mod outside;
mod pull;
mod secrets;
mod trust;

use std::collections::BTreeMap;

use ureq::tls::TlsConfig;

pub use http::Patience;
pub(crate) use local::{is_local_address, leads_here};
pub use trust::tls;

use self::http::Endpoint;
use self::mirror::MirrorPath;
use crate::credentials::Login;
use crate::document::Platform;
use crate::error::OciError;
use crate::reference::RegistryReference;

/// A server that has copies of a registry's images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// `host` or `host:port`.
    pub host: String,
    /// Where it keeps the repositories: empty, `project` or `a/b` before their names, or the path of an API of its own,
    /// which ends in `/v2`.
    pub path: String,
    /// Whether it is spoken to without TLS.
    pub plain_http: bool,
}

/// How registries are spoken to.
#[derive(Clone, Debug)]
pub struct Options {
    /// What images must run on.
    pub platform: Platform,
    /// Speak to the image's own registry without TLS.
    pub plain_http: bool,
    /// Servers that are asked before a registry, by the registry's host, in order.
    pub mirrors: BTreeMap<String, Vec<Mirror>>,
    /// Logins by host, those of mirrors among them.
    pub logins: BTreeMap<String, Login>,
    /// Hosts of token servers that a login may go to beside the registry's own host, as the user has confirmed them, by
    /// the host that the login is for.
    pub realms: BTreeMap<String, Vec<String>>,
    /// Certificates in PEM that are trusted beside the system's.
    pub certificates: Vec<u8>,
    /// Most downloads at once.
    pub downloads: usize,
    /// Most bytes of all layers of an image together, as they are stored.
    pub bytes: u64,
    /// How long and how often it is tried.
    pub patience: Patience,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            platform: Platform::host(),
            plain_http: false,
            mirrors: BTreeMap::new(),
            logins: BTreeMap::new(),
            realms: BTreeMap::new(),
            certificates: Vec::new(),
            downloads: 4,
            bytes: 128 << 30,
            patience: Patience::default(),
        }
    }
}

/// A client. Cheap to make; connections and tokens live as long as one pull.
#[derive(Debug)]
pub struct Registry {
    options: Options,
    tls: TlsConfig,
}

impl Registry {
    /// A client with these options.
    ///
    /// # Errors
    /// [`OciError::Certificates`] if the certificates do not parse.
    pub fn new(options: Options) -> Result<Self, OciError> {
        let tls = tls(&options.certificates)?;
        Ok(Self { options, tls })
    }

    /// Who is asked for an image, in order.
    fn endpoints(&self, reference: &RegistryReference) -> Vec<Endpoint> {
        let login = |host: &str| self.options.logins.get(host).cloned();
        let realms = |host: &str| self.options.realms.get(host).cloned().unwrap_or_default();
        let mirrors = self.options.mirrors.get(reference.host()).into_iter().flatten();
        let mut endpoints: Vec<Endpoint> = mirrors
            .map(|mirror| Endpoint {
                name: mirror.host.clone(),
                address: mirror.host.clone(),
                path: MirrorPath::new(&mirror.path),
                plain_http: mirror.plain_http,
                login: login(&mirror.host),
                realms: realms(&mirror.host),
                is_mirror: true,
                dead: false.into(),
                told: false.into(),
            })
            .collect();
        endpoints.push(Endpoint {
            name: reference.host().to_owned(),
            address: reference.endpoint().to_owned(),
            path: MirrorPath::default(),
            plain_http: self.options.plain_http,
            login: login(reference.host()),
            realms: realms(reference.host()),
            is_mirror: false,
            dead: false.into(),
            told: false.into(),
        });
        endpoints
    }
}
