//! The catalog: what can be had by name.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::bundle::{BundleRef, RemoteCatalog};
use crate::error::{CatalogError, DataError};
use crate::names::ArtefactName;
use crate::recipe::Recipe;

const IMAGES: &str = include_str!("../data/images.toml");
const KERNELS: &str = include_str!("../data/kernels.toml");
/// Each after the one that it begins with.
const RECIPES: [(&str, &str); 3] = [
    (
        "debian-minimal",
        include_str!("../data/recipes/debian-minimal.toml"),
    ),
    (
        "debian-bookworm",
        include_str!("../../../images/golden/debian-bookworm.toml"),
    ),
    (
        "debian-trixie",
        include_str!("../../../images/golden/debian-trixie.toml"),
    ),
];

/// A machine's architecture, by Debian's name for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// 64-bit PC.
    Amd64,
}

impl Architecture {
    /// Debian's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
        }
    }

    /// The name that the kernel and Rust use.
    #[must_use]
    pub const fn machine(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64",
        }
    }

    /// Checks that this machine is one; `name` is what is for it.
    ///
    /// # Errors
    /// [`CatalogError::OtherArchitecture`].
    pub fn check(self, name: &str) -> Result<(), CatalogError> {
        let machine = std::env::consts::ARCH;
        if machine == self.machine() {
            return Ok(());
        }
        Err(CatalogError::OtherArchitecture {
            name: name.to_owned(),
            arch: self.as_str(),
            machine,
        })
    }
}

/// An image that can be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageEntry {
    /// Its name.
    pub name: ArtefactName,
    /// Its distribution.
    pub distro: String,
    /// What it runs on.
    pub arch: Architecture,
    /// Kernel it boots with.
    pub kernel: ArtefactName,
    /// One line.
    pub description: String,
    /// Where it is published, if it is.
    pub bundle: Option<BundleRef>,
    /// How it is built here, if it can be. It is published where it cannot.
    pub source: Option<ImageSource>,
}

/// How an image is got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageSource {
    /// Built here.
    Recipe {
        /// The recipe's name.
        name: ArtefactName,
        /// What it says.
        recipe: Box<Recipe>,
    },
}

/// A kernel that can be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelEntry {
    /// Its name.
    pub name: ArtefactName,
    /// Its distribution.
    pub distro: String,
    /// What it runs on.
    pub arch: Architecture,
    /// One line.
    pub description: String,
    /// Where it is published, if it is.
    pub bundle: Option<BundleRef>,
    /// Whose package it is, if it is one. It is published where it is none.
    pub source: Option<KernelSource>,
}

/// How a kernel is got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KernelSource {
    /// A package of a Debian archive.
    Apt {
        /// Release.
        suite: String,
        /// Part of the archive.
        component: String,
        /// The kernel's package, or one that depends on it.
        package: String,
    },
}

/// Everything that can be had by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Catalog {
    images: Vec<ImageEntry>,
    kernels: Vec<KernelEntry>,
}

impl Catalog {
    /// The catalog that this version of banger carries.
    #[must_use]
    pub fn embedded() -> Self {
        Self::parse(IMAGES, KERNELS, &RECIPES).expect("a test holds the embedded catalog to its rules")
    }

    /// Reads a catalog; recipes come as pairs of name and text, each after the one that it begins with.
    ///
    /// # Errors
    /// [`DataError`]: syntax, unknown keys, bad values, names that come twice or lead nowhere.
    pub fn parse(images: &str, kernels: &str, recipes: &[(&str, &str)]) -> Result<Self, DataError> {
        let kernels: KernelsFile = crate::error::parse_toml("kernels.toml", kernels)?;
        let kernels: Vec<KernelEntry> = kernels.kernel.into_iter().map(KernelEntry::from).collect();
        let images: ImagesFile = crate::error::parse_toml("images.toml", images)?;
        let mut read: BTreeMap<&str, Recipe> = BTreeMap::new();
        for (name, text) in recipes {
            let file = format!("recipes/{name}.toml");
            let recipe = Recipe::parse_on(text, &file, |base| read.get(base))?;
            read.insert(name, recipe);
        }
        let mut entries: Vec<ImageEntry> = Vec::new();
        for image in images.image {
            let wrong = |message: String| DataError {
                file: "images.toml".into(),
                line: None,
                message,
            };
            if entries.iter().any(|entry| entry.name == image.name) {
                return Err(wrong(format!("image `{}` comes twice", image.name)));
            }
            if !kernels
                .iter()
                .any(|kernel| kernel.name == image.kernel && kernel.arch == image.arch)
            {
                return Err(wrong(format!(
                    "image `{}` needs kernel `{}`, there is none",
                    image.name, image.kernel
                )));
            }
            if image.recipe.is_none() && image.bundle.is_none() {
                return Err(wrong(format!(
                    "image `{}` has neither a bundle nor a recipe",
                    image.name
                )));
            }
            let source = match image.recipe {
                None => None,
                Some(wanted) => {
                    let recipe = read.get(wanted.as_str()).cloned().ok_or_else(|| {
                        wrong(format!(
                            "image `{}` needs recipe `{wanted}`, there is none",
                            image.name
                        ))
                    })?;
                    Some(ImageSource::Recipe {
                        name: wanted,
                        recipe: Box::new(recipe),
                    })
                }
            };
            entries.push(ImageEntry {
                name: image.name,
                distro: image.distro,
                arch: image.arch,
                kernel: image.kernel,
                description: image.description,
                bundle: image.bundle,
                source,
            });
        }
        for (index, kernel) in kernels.iter().enumerate() {
            let wrong = |message: String| DataError {
                file: "kernels.toml".into(),
                line: None,
                message,
            };
            if kernel.source.is_none() && kernel.bundle.is_none() {
                return Err(wrong(format!(
                    "kernel `{}` has neither a bundle nor a package",
                    kernel.name
                )));
            }
            if kernel.name.as_str().contains('.') {
                return Err(wrong(format!("kernel `{}` has a dot in its name", kernel.name)));
            }
            if kernels[..index].iter().any(|other| other.name == kernel.name) {
                return Err(wrong(format!("kernel `{}` comes twice", kernel.name)));
            }
        }
        Ok(Self {
            images: entries,
            kernels,
        })
    }

    /// The same with what is published at `url`: its entries come in the place of those of the same name, and keep
    /// how those are built here. Bundles of this catalog that lie beside a published one are found there.
    #[must_use]
    pub fn with_published(mut self, url: &str, published: RemoteCatalog) -> Self {
        let bundles = self.images.iter_mut().map(|image| &mut image.bundle);
        let bundles = bundles.chain(self.kernels.iter_mut().map(|kernel| &mut kernel.bundle));
        for bundle in bundles.flatten() {
            bundle.url = crate::bundle::resolve(url, &bundle.url);
        }
        for image in published.images {
            let (Ok(name), Ok(kernel)) = (
                ArtefactName::parse(&image.name),
                ArtefactName::parse(&image.kernel),
            ) else {
                continue;
            };
            let old = self.images.iter().position(|known| known.name == name);
            let source = old.and_then(|at| self.images.remove(at).source);
            self.images.push(ImageEntry {
                name,
                distro: image.distro,
                arch: Architecture::Amd64,
                kernel,
                description: image.description,
                bundle: Some(image.bundle),
                source,
            });
        }
        for kernel in published.kernels {
            let Ok(name) = ArtefactName::parse(&kernel.name) else {
                continue;
            };
            let old = self.kernels.iter().position(|known| known.name == name);
            let source = old.and_then(|at| self.kernels.remove(at).source);
            self.kernels.push(KernelEntry {
                name,
                distro: kernel.distro,
                arch: Architecture::Amd64,
                description: kernel.description,
                bundle: Some(kernel.bundle),
                source,
            });
        }
        self
    }

    /// An image by name.
    #[must_use]
    pub fn image(&self, name: &str) -> Option<&ImageEntry> {
        self.images.iter().find(|image| image.name.as_str() == name)
    }

    /// A kernel by name.
    #[must_use]
    pub fn kernel(&self, name: &str) -> Option<&KernelEntry> {
        self.kernels.iter().find(|kernel| kernel.name.as_str() == name)
    }

    /// Reads a recipe of somebody's own, which may begin with one that an image of this catalog is built by.
    ///
    /// # Errors
    /// [`DataError`], as [`Recipe::parse_on`].
    pub fn read_recipe(&self, text: &str, file: &str) -> Result<Recipe, DataError> {
        Recipe::parse_on(text, file, |base| {
            self.images.iter().find_map(|image| match &image.source {
                Some(ImageSource::Recipe { name, recipe }) if name.as_str() == base => Some(&**recipe),
                _ => None,
            })
        })
    }

    /// All images, in the catalog's order.
    pub fn images(&self) -> impl Iterator<Item = &ImageEntry> {
        self.images.iter()
    }

    /// All kernels, in the catalog's order.
    pub fn kernels(&self) -> impl Iterator<Item = &KernelEntry> {
        self.kernels.iter()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ImagesFile {
    #[serde(default)]
    image: Vec<ImageTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ImageTable {
    name: ArtefactName,
    distro: String,
    arch: Architecture,
    kernel: ArtefactName,
    description: String,
    recipe: Option<ArtefactName>,
    bundle: Option<BundleRef>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KernelsFile {
    #[serde(default)]
    kernel: Vec<KernelTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KernelTable {
    name: ArtefactName,
    distro: String,
    arch: Architecture,
    description: String,
    apt: Option<AptTable>,
    bundle: Option<BundleRef>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AptTable {
    #[serde(deserialize_with = "crate::recipe::rules::suite")]
    suite: String,
    #[serde(deserialize_with = "crate::recipe::rules::component")]
    component: String,
    #[serde(deserialize_with = "crate::recipe::rules::package")]
    package: String,
}

impl From<KernelTable> for KernelEntry {
    fn from(table: KernelTable) -> Self {
        Self {
            name: table.name,
            distro: table.distro,
            arch: table.arch,
            description: table.description,
            bundle: table.bundle,
            source: table.apt.map(|apt| KernelSource::Apt {
                suite: apt.suite,
                component: apt.component,
                package: apt.package,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECIPE: [(&str, &str); 1] = [("r", "suite = \"x\"\ncomponents = [\"main\"]\npackages = []\n")];
    const KERNEL: &str = "[[kernel]]\nname=\"k\"\ndistro=\"d\"\narch=\"amd64\"\ndescription=\"\"\n\
                          [kernel.apt]\nsuite=\"s\"\ncomponent=\"main\"\npackage=\"linux\"\n";
    const IMAGE: &str =
        "[[image]]\nname=\"i\"\ndistro=\"d\"\narch=\"amd64\"\nkernel=\"k\"\ndescription=\"\"\nrecipe=\"r\"\n";

    #[test]
    fn the_embedded_catalog_keeps_its_own_rules() {
        let catalog = Catalog::parse(IMAGES, KERNELS, &RECIPES).unwrap();
        assert_eq!(catalog, Catalog::embedded());
        let image = catalog.image("debian-minimal").unwrap();
        assert_eq!(image.kernel.as_str(), "debian-cloud");
        assert!(catalog.kernel("debian-cloud").is_some());
        assert!(catalog.image("debian").is_none());
        let names: Vec<_> = catalog.images().map(|image| image.name.as_str()).collect();
        assert_eq!(names, ["debian-minimal", "debian-bookworm", "debian-trixie"]);
        assert_eq!(catalog.kernels().count(), 1);
    }

    #[test]
    fn a_recipe_of_the_users_own_begins_with_one_of_the_catalogs() {
        let catalog = Catalog::embedded();
        let recipe = catalog.read_recipe("base = \"debian-trixie\"\npackages = [\"nodejs\"]\n", "r.toml");
        let recipe = recipe.unwrap();
        assert_eq!(recipe.suite(), "trixie");
        let packages: Vec<_> = recipe.packages.iter().map(|package| package.0.as_str()).collect();
        for package in ["systemd-sysv", "docker.io", "docker-cli", "nodejs"] {
            assert_eq!(
                packages.iter().filter(|name| **name == package).count(),
                1,
                "{package}"
            );
        }
        let error = catalog.read_recipe("base = \"debian\"", "r.toml").unwrap_err();
        assert_eq!(
            error.to_string(),
            "r.toml: base: the catalog has no recipe `debian` to begin with"
        );
    }

    #[test]
    fn an_entry_may_have_a_bundle_a_recipe_or_both() {
        let sha256 = "a".repeat(64);
        let bundle = format!("[image.bundle]\nurl=\"i.tar.zst\"\nsha256=\"{sha256}\"\nsize=7\n");
        let both = format!("{IMAGE}{bundle}");
        let alone = both.replace("recipe=\"r\"\n", "");
        for (text, recipe) in [(both, true), (alone, false)] {
            let catalog = Catalog::parse(&text, KERNEL, &RECIPE).unwrap();
            let image = catalog.image("i").unwrap();
            assert_eq!((image.bundle.is_some(), image.source.is_some()), (true, recipe));
        }
        let published = format!(
            r#"{{"schema_version": 1, "images": [
                {{"name": "i", "arch": "amd64", "kernel": "k2", "bundle": {{"url": "i2", "sha256": "{sha256}", "size": 9}}}},
                {{"name": "new", "arch": "amd64", "kernel": "k", "bundle": {{"url": "n", "sha256": "{sha256}", "size": 9}}}}]}}"#
        );
        let base = "http://a.test/c.json";
        let published = RemoteCatalog::parse(published.as_bytes(), base, "amd64").unwrap();
        let catalog = Catalog::parse(IMAGE, KERNEL, &RECIPE)
            .unwrap()
            .with_published(base, published);
        let image = catalog.image("i").unwrap();
        assert_eq!(image.bundle.as_ref().unwrap().url, "http://a.test/i2");
        assert!(image.kernel.as_str() == "k2" && image.source.is_some());
        assert!(catalog.image("new").unwrap().source.is_none());
        assert!(catalog.kernel("k").unwrap().source.is_some());
    }

    #[test]
    fn a_mistake_in_the_data_names_file_line_and_key() {
        assert!(Catalog::parse(IMAGE, KERNEL, &RECIPE).is_ok());
        for (image, kernel, recipe, message) in [
            (
                format!("{IMAGE}color=\"red\"\n"),
                KERNEL.to_owned(),
                RECIPE,
                "images.toml:8: image[0].color: unknown field `color`",
            ),
            (
                IMAGE.replace("\"i\"", "\"../i\""),
                KERNEL.to_owned(),
                RECIPE,
                "images.toml:2: image[0].name: \"../i\" is not a name",
            ),
            (
                IMAGE.replace("amd64", "vax"),
                KERNEL.to_owned(),
                RECIPE,
                "images.toml:4: image[0].arch: unknown variant `vax`",
            ),
            (
                IMAGE.replace("\"k\"", "\"other\""),
                KERNEL.to_owned(),
                RECIPE,
                "images.toml: image `i` needs kernel `other`",
            ),
            (
                IMAGE.replace("\"r\"", "\"other\""),
                KERNEL.to_owned(),
                RECIPE,
                "images.toml: image `i` needs recipe `other`",
            ),
            (
                IMAGE.replace("recipe=\"r\"\n", ""),
                KERNEL.to_owned(),
                RECIPE,
                "images.toml: image `i` has neither a bundle nor a recipe",
            ),
            (
                IMAGE.to_owned(),
                KERNEL.split("[kernel.apt]").next().unwrap().to_owned(),
                RECIPE,
                "kernels.toml: kernel `k` has neither a bundle nor a package",
            ),
            (
                IMAGE.repeat(2),
                KERNEL.to_owned(),
                RECIPE,
                "images.toml: image `i` comes twice",
            ),
            (
                IMAGE.to_owned(),
                KERNEL.repeat(2),
                RECIPE,
                "kernels.toml: kernel `k` comes twice",
            ),
            (
                IMAGE.to_owned(),
                KERNEL.replace("linux", "--linux"),
                RECIPE,
                "kernels.toml:9: kernel[0].apt.package: ",
            ),
            (
                IMAGE.to_owned(),
                KERNEL.to_owned(),
                [("r", "suite = 3")],
                "recipes/r.toml:1: suite: ",
            ),
        ] {
            let error = Catalog::parse(&image, &kernel, &recipe).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}\nnot {message}");
        }
    }
}
