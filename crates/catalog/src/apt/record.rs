//! What `apt-cache show` says about a package.

use crate::recipe::rules;

/// No package is larger.
const SIZE_LIMIT: u64 = 4 * 1024 * 1024 * 1024;

/// A package's record, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub package: String,
    pub version: String,
    /// Size of the package file in bytes.
    pub size: u64,
    pub sha256: String,
    depends: String,
}

impl Record {
    /// Reads the first record.
    ///
    /// # Errors
    /// The field that is missing or wrong.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let first = text
            .split("\n\n")
            .find(|record| !record.trim().is_empty())
            .ok_or("it is empty")?;
        let field = |name: &str| {
            let value = first
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            value.map(|value| value.trim().to_owned())
        };
        let needed = |name: &str| field(name).ok_or_else(|| format!("it has no {name}"));
        let record = Self {
            package: needed("Package")?,
            version: needed("Version")?,
            size: needed("Size")?.parse().map_err(|_| "its Size is no number")?,
            sha256: needed("SHA256")?,
            depends: [field("Pre-Depends"), field("Depends")]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join(", "),
        };
        rules::check_package(&record.package).map_err(|reason| format!("its Package {reason}"))?;
        check_version(&record.version)?;
        if record.size == 0 || record.size > SIZE_LIMIT {
            return Err(format!("its Size is {}", record.size));
        }
        if record.sha256.len() != 64 || !record.sha256.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err("its SHA256 is none".to_owned());
        }
        Ok(record)
    }

    /// The kernel that it depends on, with its version where that is fixed; none for a kernel.
    pub(super) fn kernel_dependency(&self) -> Option<(String, Option<String>)> {
        self.depends.split(',').find_map(|dependency| {
            let first = dependency.split('|').next()?.trim();
            let (name, version) = match first.split_once('(') {
                Some((name, version)) => (
                    name.trim(),
                    version.trim().strip_suffix(')')?.trim().strip_prefix('='),
                ),
                None => (first, None),
            };
            let name = name.split(':').next()?;
            let kernel = name.starts_with("linux-image-") && rules::check_package(name).is_ok();
            let version = version
                .map(|version| version.trim().to_owned())
                .filter(|version| check_version(version).is_ok());
            kernel.then(|| (name.to_owned(), version))
        })
    }
}

/// Debian policy 5.6.12; nothing that apt could take for something else.
fn check_version(version: &str) -> Result<(), String> {
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || b".+-:~".contains(&byte);
    let good = version.len() <= 128
        && version
            .bytes()
            .next()
            .is_some_and(|byte| byte.is_ascii_alphanumeric())
        && version.bytes().all(inside);
    if good {
        Ok(())
    } else {
        Err("its Version is none".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(depends: &str) -> String {
        let sum = "a".repeat(64);
        format!(
            "Package: linux-image-cloud-amd64\nVersion: 6.1.1-1\nDepends: {depends}\nDescription: x\n y\nSize: 12\nSHA256: {sum}\n"
        )
    }

    #[test]
    fn a_kernel_that_is_depended_on_is_found_with_its_version() {
        for (depends, wanted) in [
            (
                "linux-image-6.1.0-9-cloud-amd64 (= 6.1.1-1)",
                Some(("linux-image-6.1.0-9-cloud-amd64", Some("6.1.1-1"))),
            ),
            ("kmod, linux-image-6 (>= 2)", Some(("linux-image-6", None))),
            (
                "kmod (>= 1), linux-image-6:any | other",
                Some(("linux-image-6", None)),
            ),
            (
                "kmod, linux-base (>= 4.3~), initramfs-tools | linux-initramfs-tool",
                None,
            ),
            ("linux-image-$(x)", None),
            ("", None),
        ] {
            let record = Record::parse(&record(depends)).unwrap();
            let wanted = wanted.map(|(name, version)| (name.to_owned(), version.map(str::to_owned)));
            assert_eq!(record.kernel_dependency(), wanted, "{depends}");
        }
    }

    #[test]
    fn a_record_that_cannot_be_used_says_why() {
        let good = record("");
        for (text, reason) in [
            (String::new(), "it is empty"),
            (good.replace("Version", "Other"), "it has no Version"),
            (good.replace("6.1.1-1", "-o x"), "its Version is none"),
            (good.replace("12\n", "x\n"), "its Size is no number"),
            (good.replace("12\n", "0\n"), "its Size is 0"),
            (good.replace("aaaa", "g"), "its SHA256 is none"),
        ] {
            assert_eq!(Record::parse(&text).unwrap_err(), reason);
        }
        assert!(Record::parse(&good.replace("linux-image-cloud-amd64", "-o")).is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(Package: a\n|Version: 1\n|Size: |SHA256:|Depends: |linux-image-|\\(|=|\\)|\\||,|\n|\\PC){0,40}") {
            if let Ok(record) = Record::parse(&text) {
                let _ = record.kernel_dependency();
            }
        }
    }
}
