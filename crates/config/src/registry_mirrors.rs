//! `[registry_mirrors]`: servers that are asked before a registry, by the registry's host.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, de::Error};

use crate::address::is_port;

/// Each registry's mirrors, in the order in which they are asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct RegistryMirrors(BTreeMap<RegistryHost, Vec<RegistryMirror>>);

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryMirror {
    /// `host` or `host:port`.
    pub host: String,
    /// Where it keeps the registry's repositories, without `/` at either end; empty where by their own names.
    pub path: String,
    /// Whether it is spoken to without TLS.
    pub plain_http: bool,
}

/// A registry as references name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct RegistryHost(String);

impl RegistryMirrors {
    /// Those of the registry at `host`, which references to it begin with.
    #[must_use]
    pub fn of(&self, host: &str) -> &[RegistryMirror] {
        let mirrors = self.0.get(&RegistryHost(host.to_owned()));
        mirrors.map_or(&[], Vec::as_slice)
    }
}

impl<'de> Deserialize<'de> for RegistryHost {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if !is_host(&text) {
            return Err(D::Error::custom(format!(
                "{text:?} is no registry, such as docker.io or localhost:5000"
            )));
        }
        Ok(Self(text))
    }
}

impl<'de> Deserialize<'de> for RegistryMirror {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let secure = text.strip_prefix("https://");
        let address = secure
            .or_else(|| text.strip_prefix("http://"))
            .map(|address| address.strip_suffix('/').unwrap_or(address))
            .map(|address| address.split_once('/').unwrap_or((address, "")))
            .filter(|(host, path)| is_host(host) && is_path(path));
        match address {
            Some((host, path)) => Ok(Self {
                host: host.to_owned(),
                path: path.to_owned(),
                plain_http: secure.is_none(),
            }),
            None => Err(D::Error::custom(format!(
                "{text:?} is no mirror's address, such as https://mirror.example or https://harbor.example/project"
            ))),
        }
    }
}

/// Names of projects, or of an API's folders: nothing that could be read as something else in an address.
fn is_path(text: &str) -> bool {
    const LONGEST: usize = 255;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let name =
        |name: &str| !name.is_empty() && name.bytes().all(plain) && name.bytes().any(|byte| byte != b'.');
    // What follows an API's version would be a repository.
    let below_version = text.starts_with("v2/") || text.contains("/v2/");
    text.is_empty() || text.len() <= LONGEST && !below_version && text.split('/').all(name)
}

/// `host` or `host:port`: no path, no login.
fn is_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
    let sound =
        !host.is_empty() && host.len() <= 253 && host.bytes().all(plain) && !host.starts_with(['-', '.']);
    sound && port.is_none_or(is_port)
}
