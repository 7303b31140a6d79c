//! An entry that is to be published: held against the rules of catalogs and against its bundle before it is listed.

use std::io::{self, Read};

use serde::Serialize;

use super::manifest::document;
use super::remote::RemoteCatalog;
use super::{
    Bundle, BundleError, BundleRef, Description, LARGEST_CATALOG, Manifest, RemoteImage, RemoteKernel,
    file_name,
};
use progress::Cancel;

/// Entry of a catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Entry {
    /// Of an image.
    Image(RemoteImage),
    /// Of a kernel.
    Kernel(RemoteKernel),
}

impl Entry {
    /// Reads the entry of an image: one JSON document that obeys a catalog's rules, whose bundle has the file name that
    /// [`file_name`] gives and therefore lies beside the catalog.
    ///
    /// # Errors
    /// [`BundleError::Document`].
    pub fn image(json: &[u8]) -> Result<Self, BundleError> {
        Self::Image(document(ENTRY, json)?).with_its_own_file_name()
    }

    /// The same of a kernel.
    ///
    /// # Errors
    /// [`BundleError::Document`].
    pub fn kernel(json: &[u8]) -> Result<Self, BundleError> {
        Self::Kernel(document(ENTRY, json)?).with_its_own_file_name()
    }

    /// A catalog lists addresses, and other files than bundles lie beside it; none of them may be taken for the bundle.
    fn with_its_own_file_name(self) -> Result<Self, BundleError> {
        let bundle = self.bundle();
        let expected = file_name(self.name(), self.arch(), &bundle.sha256);
        // What an entry is for is free text.
        if bundle.url != expected || expected.contains('/') {
            return Err(BundleError::Document {
                document: ENTRY,
                message:
                    "bundle.url: it is not NAME-ARCH-HASH.tar.zst with the first 12 digits of the sha256"
                        .to_owned(),
            });
        }
        Ok(self)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Image(image) => &image.name,
            Self::Kernel(kernel) => &kernel.name,
        }
    }

    fn arch(&self) -> &str {
        match self {
            Self::Image(image) => &image.arch,
            Self::Kernel(kernel) => &kernel.arch,
        }
    }

    /// Its bundle.
    #[must_use]
    pub fn bundle(&self) -> &BundleRef {
        match self {
            Self::Image(image) => &image.bundle,
            Self::Kernel(kernel) => &kernel.bundle,
        }
    }

    /// Reads the bundle to its end: the size, the sha256 and what it says it is have to be the entry's.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn check_bundle(&self, source: impl Read) -> Result<(), BundleError> {
        let mut bundle = Bundle::open(source, self.bundle(), &Cancel::new(), |_| {})?;
        match (self, bundle.manifest()) {
            (Self::Image(entry), Manifest::Image(image)) => {
                self.check_description(&image.about)?;
                due("kernel", &entry.kernel, &image.kernel)?;
            }
            (Self::Kernel(_), Manifest::Kernel(kernel)) => self.check_description(&kernel.about)?,
            (Self::Image(_), Manifest::Kernel(_)) => due("kind", "an image", "a kernel")?,
            (Self::Kernel(_), Manifest::Image(_)) => due("kind", "a kernel", "an image")?,
        }
        let read = io::copy(&mut bundle.members(), &mut io::sink());
        match read {
            Ok(_) => bundle.finish(),
            Err(error) => Err(bundle.cause().unwrap_or(BundleError::Decompress(error))),
        }
    }

    fn check_description(&self, about: &Description) -> Result<(), BundleError> {
        due("name", self.name(), &about.name)?;
        due("architecture", self.arch(), &about.arch)
    }
}

const ENTRY: &str = "the entry";

fn due(what: &'static str, expected: &str, found: &str) -> Result<(), BundleError> {
    if expected == found {
        return Ok(());
    }
    Err(BundleError::Mismatch {
        what,
        expected: expected.to_owned(),
        found: found.to_owned(),
    })
}

impl RemoteCatalog {
    /// Reads a catalog that an entry is to be added to: all of it, with the locations as they are in it.
    ///
    /// # Errors
    /// [`BundleError::Future`] and [`BundleError::Document`].
    pub fn parse_published(json: &[u8]) -> Result<Self, BundleError> {
        let catalog = Self::parse_all(json)?;
        catalog.check_names()?;
        Ok(catalog)
    }

    /// The same catalog with this entry, in the place of the one of its name and architecture.
    ///
    /// # Errors
    /// The catalog would be larger than one that is read.
    pub fn with_entry(mut self, entry: Entry) -> Result<Self, BundleError> {
        match entry {
            Entry::Image(image) => {
                self.images
                    .retain(|old| (&old.name, &old.arch) != (&image.name, &image.arch));
                self.images.push(image);
            }
            Entry::Kernel(kernel) => {
                self.kernels
                    .retain(|old| (&old.name, &old.arch) != (&kernel.name, &kernel.arch));
                self.kernels.push(kernel);
            }
        }
        self.images
            .sort_by(|a, b| (&a.name, &a.arch).cmp(&(&b.name, &b.arch)));
        self.kernels
            .sort_by(|a, b| (&a.name, &a.arch).cmp(&(&b.name, &b.arch)));
        self.check_count()?;
        // As it is written: indented.
        let json = serde_json::to_vec_pretty(&self).map_err(|error| BundleError::Write(error.into()))?;
        if json.len() as u64 >= LARGEST_CATALOG {
            return Err(BundleError::Longer {
                expected: LARGEST_CATALOG,
            });
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(name: &str, arch: &str) -> String {
        let sha256 = "0123456789abcdef".repeat(4);
        let url = file_name(name, arch, &sha256);
        format!(
            r#"{{"name": "{name}", "arch": "{arch}", "bundle": {{"url": "{url}", "sha256": "{sha256}", "size": 7}}}}"#
        )
    }

    #[test]
    fn an_entry_takes_the_place_of_its_own_name_and_architecture_only() {
        let mut catalog = RemoteCatalog::parse_published(br#"{"schema_version": 1}"#).unwrap();
        for (name, arch) in [("b", "amd64"), ("a", "arm64"), ("b", "amd64"), ("a", "amd64")] {
            let entry = Entry::kernel(json(name, arch).as_bytes()).unwrap();
            catalog = catalog.with_entry(entry).unwrap();
        }
        let listed = catalog.kernels.iter();
        let listed: Vec<_> = listed.map(|kernel| (&*kernel.name, &*kernel.arch)).collect();
        assert_eq!(listed, [("a", "amd64"), ("a", "arm64"), ("b", "amd64")]);
        let json = serde_json::to_vec(&catalog).unwrap();
        assert_eq!(RemoteCatalog::parse_published(&json).unwrap(), catalog);
        catalog.kernels.push(catalog.kernels[1].clone());
        let twice = serde_json::to_vec(&catalog).unwrap();
        let refused = RemoteCatalog::parse_published(&twice).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the catalog is wrong: kernel `a` comes twice"
        );
    }

    #[test]
    fn a_catalog_that_clients_would_refuse_for_its_size_takes_no_entry() {
        let mut catalog = RemoteCatalog::parse_published(br#"{"schema_version": 1}"#).unwrap();
        let entry = Entry::kernel(json("k", "amd64").as_bytes()).unwrap();
        let Entry::Kernel(kernel) = entry.clone() else {
            panic!("it is a kernel's");
        };
        let numbered = |number: usize| RemoteKernel {
            name: format!("k-{number}"),
            ..kernel.clone()
        };
        catalog.kernels = (0..9_999).map(numbered).collect();
        catalog = catalog.with_entry(entry).unwrap();
        let one_more = catalog.clone().with_entry(Entry::Kernel(numbered(10_000)));
        assert!(
            one_more
                .unwrap_err()
                .to_string()
                .contains("more than 10000 entries")
        );
        for kernel in &mut catalog.kernels {
            kernel.bundle.url = "a".repeat(1_700);
        }
        let long = catalog.with_entry(Entry::Kernel(numbered(3)));
        assert!(matches!(long, Err(BundleError::Longer { .. })), "{long:?}");
    }

    #[test]
    fn a_bundle_has_the_name_that_its_entry_gives() {
        let good = json("k", "amd64");
        Entry::kernel(good.as_bytes()).unwrap();
        let url = "k-amd64-0123456789ab.tar.zst";
        for (from, to) in [
            (url, "k.tar.zst"),
            (url, "other/k-amd64-0123456789ab.tar.zst"),
            (url, "https://other.test/k-amd64-0123456789ab.tar.zst"),
            (url, "k-amd64-ba9876543210.tar.zst"),
            (url, "catalog.json"),
            ("amd64", "amd/64"),
        ] {
            let refused = Entry::kernel(good.replace(from, to).as_bytes()).unwrap_err();
            let refused = refused.to_string();
            assert!(
                refused.starts_with("the entry is wrong: bundle.url: it is not NAME-"),
                "{refused}"
            );
        }
    }
}
