//! Which version of Firecracker a binary is, and whether guests are to be run on that.

use std::fmt;
use std::path::Path;

use crate::VmmError;
use crate::version::ask_once;

/// The oldest that is used. Before it, a guest's devices are told of on the kernel's command line only, where the
/// kernels of distributions do not look.
const OLDEST: Version = Version(1, 8, 0);
/// Releases from which a guest can break out, the first and the last of each row, and by which flaw.
const FLAWED: [(Version, Version, &str); 2] = [
    (Version(1, 13, 0), Version(1, 14, 3), "CVE-2026-5747"),
    (Version(1, 15, 0), Version(1, 15, 0), "CVE-2026-5747"),
];

/// A release: major, minor and patch number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub(super) u32, pub(super) u32, pub(super) u32);

/// Why a release is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Older than any that is used.
    #[error("older than {OLDEST}, the first that is used")]
    TooOld,
    /// It has a flaw.
    #[error("known to let guests break out ({flaw})")]
    Flawed {
        /// The flaw's public name.
        flaw: &'static str,
    },
}

/// Which releases are used and which are not, for people.
#[must_use]
pub fn supported() -> String {
    let mut rows: Vec<String> = Vec::new();
    for (first, last, flaw) in FLAWED {
        rows.push(if first == last {
            format!("{first} ({flaw})")
        } else {
            format!("{first} to {last} ({flaw})")
        });
    }
    format!("{OLDEST} and later are used, but not {}", rows.join(" and "))
}

/// What is to be said against a VMM of that name (`firecracker/1.14.0`), which may run since before it was known.
#[must_use]
pub fn concern(name: &str) -> Option<String> {
    let version = Version::parse(name.strip_prefix("firecracker/")?)?;
    let unfit = version.check().err()?;
    Some(format!("{unfit}; {}", supported()))
}

/// Whether disks of a VMM of that name take discards, by which the host's file of a drive shrinks by what the guest
/// deletes. No supported release of Firecracker does: its block device has reads, writes and flushes only.
#[must_use]
pub fn takes_discards(name: &str) -> bool {
    name.split('/').next() != Some("firecracker")
}

impl Version {
    /// Reads `1.12.1`; a suffix, such as a distribution's, is left out.
    fn parse(text: &str) -> Option<Self> {
        let numbers = text.split(['-', '+']).next()?;
        let mut numbers = numbers.split('.').map(|number| number.parse().ok());
        match (numbers.next(), numbers.next(), numbers.next(), numbers.next()) {
            (Some(Some(major)), Some(Some(minor)), Some(Some(patch)), None) => {
                Some(Self(major, minor, patch))
            }
            _ => None,
        }
    }

    /// Whether guests may be run on it.
    ///
    /// # Errors
    /// Why not.
    pub fn check(self) -> Result<(), Unfit> {
        if self < OLDEST {
            return Err(Unfit::TooOld);
        }
        match FLAWED
            .iter()
            .find(|(first, last, _)| (*first..=*last).contains(&self))
        {
            Some(&(_, _, flaw)) => Err(Unfit::Flawed { flaw }),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(major, minor, patch) = self;
        write!(f, "{major}.{minor}.{patch}")
    }
}

/// The version of Firecracker's `binary`. Asked once for each file.
///
/// # Errors
/// It is missing, cannot be executed, or does not answer as Firecracker does.
pub fn version(binary: &Path) -> Result<Version, VmmError> {
    let said = ask_once(binary, "Firecracker", |line| Some(parse(line)?.to_string()))?;
    Version::parse(&said).ok_or_else(|| VmmError::Control {
        message: format!("{} is of no version", binary.display()),
    })
}

/// Reads `Firecracker v1.12.1`.
fn parse(line: &str) -> Option<Version> {
    Version::parse(line.trim_end().strip_prefix("Firecracker v")?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_version_is_its_three_numbers() {
        assert_eq!(parse("Firecracker v1.12.1"), Some(Version(1, 12, 1)));
        assert_eq!(parse("Firecracker v1.16.0-dev\n"), Some(Version(1, 16, 0)));
        for other in [
            "",
            "Firecracker v1",
            "Firecracker 1.12.1",
            "Firecracker v1.2.3.4",
            "Jailer v1.12.1",
        ] {
            assert_eq!(parse(other), None, "{other}");
        }
    }

    #[test]
    fn old_and_flawed_releases_are_not_used() {
        let flawed = Err(Unfit::Flawed {
            flaw: "CVE-2026-5747",
        });
        let table = [
            ("1.7.0", Err(Unfit::TooOld)),
            ("1.8.0", Ok(())),
            ("1.12.1", Ok(())),
            ("1.13.0", flawed),
            ("1.14.3", flawed),
            ("1.14.4", Ok(())),
            ("1.15.0", flawed),
            ("1.15.1", Ok(())),
            ("2.0.0", Ok(())),
        ];
        for (version, expected) in table {
            assert_eq!(Version::parse(version).unwrap().check(), expected, "{version}");
        }
    }

    #[test]
    fn which_releases_are_used_is_told_from_the_same_table() {
        assert_eq!(
            supported(),
            "1.8.0 and later are used, but not 1.13.0 to 1.14.3 (CVE-2026-5747) and 1.15.0 (CVE-2026-5747)"
        );
        assert_eq!(concern("firecracker/1.12.1"), None);
        assert_eq!(concern("qemu/kvm"), None);
        let said = concern("firecracker/1.14.0").unwrap();
        assert!(
            said.starts_with("known to let guests break out (CVE-2026-5747); 1.8.0 and later"),
            "{said}"
        );
    }

    proptest! {
        #[test]
        fn no_line_makes_the_parser_panic(line: String) {
            let _ = parse(&line);
        }
    }
}
