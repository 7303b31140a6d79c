//! The catalog that is published: which bundles there are, where, and what they hash to.
//!
//! ```json
//! {"schema_version": 1,
//!  "images": [{"name": "…", "distro": "debian", "arch": "amd64", "kernel": "…", "description": "…",
//!              "bundle": {"url": "NAME-amd64-0123456789ab.tar.zst", "sha256": "…", "size": 123}}],
//!  "kernels": [{"name": "…", "distro": "debian", "arch": "amd64", "description": "…", "bundle": {…}}]}
//! ```

use serde::{Deserialize, Serialize};
use ureq::http::Uri;

use super::BundleError;
use super::manifest::{name, parse, sha256, text};

/// Most bytes of a bundle.
const LARGEST: u64 = 64 << 30;
/// Most bytes of a catalog.
pub(crate) const LARGEST_CATALOG: u64 = 16 << 20;
const MOST_ENTRIES: usize = 10_000;

/// Where a bundle is, and which it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleRef {
    /// An http or https address, or a path that is relative to the catalog's.
    #[serde(deserialize_with = "location")]
    pub url: String,
    /// sha256 of the bundle, 64 lower-case hexadecimal digits.
    #[serde(deserialize_with = "sha256")]
    pub sha256: String,
    /// Its size in bytes.
    #[serde(deserialize_with = "size")]
    pub size: u64,
}

/// An image of the catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoteImage {
    /// Its name.
    #[serde(deserialize_with = "name")]
    pub name: String,
    /// Its distribution.
    #[serde(default, deserialize_with = "text")]
    pub distro: String,
    /// What it runs on, by Debian's name.
    #[serde(deserialize_with = "text")]
    pub arch: String,
    /// Name of the kernel that boots it.
    #[serde(deserialize_with = "name")]
    pub kernel: String,
    /// One line.
    #[serde(default, deserialize_with = "text")]
    pub description: String,
    /// How it is had.
    pub bundle: BundleRef,
}

/// A kernel of the catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoteKernel {
    /// Its name; no dot in it.
    #[serde(deserialize_with = "kernel_name")]
    pub name: String,
    /// Its distribution.
    #[serde(default, deserialize_with = "text")]
    pub distro: String,
    /// What it runs on, by Debian's name.
    #[serde(deserialize_with = "text")]
    pub arch: String,
    /// One line.
    #[serde(default, deserialize_with = "text")]
    pub description: String,
    /// How it is had.
    pub bundle: BundleRef,
}

/// A catalog.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoteCatalog {
    /// [`super::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Images, sorted by name.
    #[serde(default)]
    pub images: Vec<RemoteImage>,
    /// Kernels, sorted by name.
    #[serde(default)]
    pub kernels: Vec<RemoteKernel>,
}

impl RemoteCatalog {
    /// Reads a catalog that came from `base`, an address; the bundles' addresses are whole then. What is for other
    /// machines than `arch` is left out.
    ///
    /// # Errors
    /// [`BundleError::Future`] and [`BundleError::Document`].
    pub fn parse(json: &[u8], base: &str, arch: &str) -> Result<Self, BundleError> {
        let mut catalog = Self::parse_all(json)?;
        catalog.images.retain(|image| image.arch == arch);
        catalog.kernels.retain(|kernel| kernel.arch == arch);
        catalog.check_names()?;
        let images = catalog.images.iter_mut().map(|image| &mut image.bundle);
        let kernels = catalog.kernels.iter_mut().map(|kernel| &mut kernel.bundle);
        for bundle in images.chain(kernels) {
            bundle.url = resolve(base, &bundle.url);
        }
        Ok(catalog)
    }

    /// Reads all entries, as they are.
    pub(super) fn parse_all(json: &[u8]) -> Result<Self, BundleError> {
        let catalog: Self = parse("the catalog", json)?;
        catalog.check_count()?;
        Ok(catalog)
    }

    pub(super) fn check_count(&self) -> Result<(), BundleError> {
        if self.images.len() + self.kernels.len() > MOST_ENTRIES {
            return Err(wrong(format!("it has more than {MOST_ENTRIES} entries")));
        }
        Ok(())
    }

    /// Checks that no name comes twice for an architecture.
    pub(super) fn check_names(&self) -> Result<(), BundleError> {
        let images = self.images.iter().map(|image| (&image.name, &image.arch));
        let kernels = self.kernels.iter().map(|kernel| (&kernel.name, &kernel.arch));
        for (what, mut names) in [
            ("image", images.collect::<Vec<_>>()),
            ("kernel", kernels.collect()),
        ] {
            names.sort_unstable();
            if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
                return Err(wrong(format!("{what} `{}` comes twice", pair[0].0)));
            }
        }
        Ok(())
    }
}

fn wrong(message: String) -> BundleError {
    BundleError::Document {
        document: "the catalog",
        message,
    }
}

/// The address of a location that a catalog at `base` names.
pub(crate) fn resolve(base: &str, location: &str) -> String {
    if is_address(location) {
        return location.to_owned();
    }
    let base = base.split(['?', '#']).next().unwrap_or_default();
    let folder = base.rfind('/').map_or(base, |at| &base[..=at]);
    format!("{folder}{location}")
}

fn is_address(text: &str) -> bool {
    // As a request would read it, ports and brackets included.
    let Ok(uri) = text.parse::<Uri>() else {
        return false;
    };
    let Some(authority) = uri.authority() else {
        return false;
    };
    let host = authority.host();
    let port = authority.as_str().strip_prefix(host);
    // No login: an address is shown in messages.
    matches!(uri.scheme_str(), Some("http" | "https"))
        && !matches!(host, "" | "[]")
        && !authority.as_str().contains('@')
        && port.is_some_and(|port| port.is_empty() || authority.port_u16().is_some_and(|port| port != 0))
}

/// An address of http or https, or a plain relative path.
pub(crate) fn is_location(text: &str) -> bool {
    let graphic = text.len() <= 2000 && text.bytes().all(|byte| byte.is_ascii_graphic());
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/+~".contains(&byte);
    let relative = !text.starts_with('/')
        && text.bytes().all(plain)
        && text
            .split('/')
            .all(|part| !part.is_empty() && part != "." && part != "..");
    graphic && (is_address(text) || relative)
}

fn location<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if !is_location(&text) {
        return Err(serde::de::Error::custom(
            "it is neither an http or https address nor a relative path",
        ));
    }
    Ok(text)
}

fn size<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let size = u64::deserialize(deserializer)?;
    if size == 0 || size > LARGEST {
        return Err(serde::de::Error::custom(format!("it is not 1 to {LARGEST}")));
    }
    Ok(size)
}

fn kernel_name<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = name(deserializer)?;
    if name.contains('.') {
        return Err(serde::de::Error::custom("a kernel's name has no dot"));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn catalog(url: &str) -> String {
        let sha256 = "a".repeat(64);
        format!(
            r#"{{"schema_version": 1, "kernels": [
                {{"name": "k", "distro": "d", "arch": "amd64", "description": "", "bundle":
                    {{"url": "{url}", "sha256": "{sha256}", "size": 7}}}},
                {{"name": "k", "arch": "arm64", "bundle": {{"url": "x", "sha256": "{sha256}", "size": 7}}}}]}}"#
        )
    }

    fn parse(json: &str) -> Result<RemoteCatalog, String> {
        let parsed = RemoteCatalog::parse(json.as_bytes(), "https://a.test/b/catalog.json?x=/y", "amd64");
        parsed.map_err(|error| error.to_string())
    }

    #[test]
    fn bundles_lie_beside_their_catalog_or_where_it_says() {
        for (url, whole) in [
            ("k.tar.zst", "https://a.test/b/k.tar.zst"),
            ("c/k.tar.zst", "https://a.test/b/c/k.tar.zst"),
            ("https://other.test/k?v=1", "https://other.test/k?v=1"),
        ] {
            let found = parse(&catalog(url)).unwrap();
            assert_eq!(found.kernels.len(), 1, "that for other machines is left out");
            assert_eq!(found.kernels[0].bundle.url, whole);
        }
        let nowhere = "kernels[0].bundle.url: it is neither an http or https address nor a relative path";
        for url in [
            "",
            "../k",
            "/etc/passwd",
            "a/../b",
            "a//b",
            "file:///etc/passwd",
            "ftp://a/b",
            "http://",
            "http://user:secret@host/a",
            "http://host:99999/a",
            "http://host:0/a",
            "http://host:/a",
            "http://[::1",
            "a b",
        ] {
            let refused = parse(&catalog(url)).unwrap_err();
            assert!(refused.contains(nowhere), "{url}: {refused}");
        }
    }

    #[test]
    fn a_catalog_of_a_future_version_or_with_a_mistake_is_refused_and_says_where() {
        let good = catalog("k");
        for (json, message) in [
            (
                r#"{"schema_version": 2, "everything": "else"}"#.to_owned(),
                "it is of version 2; this banger reads up to 1",
            ),
            (
                r#"{"images": []}"#.to_owned(),
                "the catalog is wrong: missing field `schema_version`",
            ),
            (String::new(), "the catalog is wrong: EOF while parsing"),
            ("<html>".to_owned(), "the catalog is wrong: expected value"),
            (
                good.replace("\"size\": 7", "\"size\": 0"),
                "the catalog is wrong: kernels[0].bundle.size: it is not 1 to",
            ),
            (
                good.replace(&"a".repeat(64), &"A".repeat(64)),
                "the catalog is wrong: kernels[0].bundle.sha256: it is not 64 lower-case",
            ),
            (
                good.replace("\"name\": \"k\"", "\"name\": \"../k\""),
                "the catalog is wrong: kernels[0].name: ",
            ),
            (
                good.replace("\"name\": \"k\"", "\"name\": \"k.1\""),
                "the catalog is wrong: kernels[0].name: a kernel's name has no dot",
            ),
            (
                good.replace("\"distro\": \"d\"", "\"colour\": \"red\""),
                "the catalog is wrong: kernels[0].colour: unknown field `colour`",
            ),
            (
                good.replace("\"description\": \"\"", "\"description\": \"a\\nb\""),
                "the catalog is wrong: kernels[0].description: it is not one line",
            ),
            (
                good.replace("arm64", "amd64"),
                "the catalog is wrong: kernel `k` comes twice",
            ),
            (format!("{good} x"), "the catalog is wrong: trailing characters"),
        ] {
            let refused = parse(&json).unwrap_err();
            assert!(refused.starts_with(message), "{refused}\nnot {message}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6)) {
            let mut json = catalog("k").into_bytes();
            for (at, byte) in flips {
                let at = at.index(json.len());
                json[at] = byte;
            }
            let _ = RemoteCatalog::parse(&json, "https://a.test/", "amd64");
        }
    }
}
