//! What releases of Firecracker have beside what the oldest one that is used has. A release is sent nothing else.
//!
//! Held against upstream's descriptions of the API by the tests in `described`. What later releases offer and is not
//! asked for: hinting of free pages (1.14.0), which by upstream's own warning can free a page that the guest has
//! taken again; what it is for, reporting does all the time.

use super::Version;

/// Something that not every supported release has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Feature {
    /// The guest tells of pages that it has no use for, and they are the host's again (`PUT /balloon`,
    /// `free_page_reporting`).
    PageReporting,
}

/// Each with the first release that has it.
const SINCE: [(Feature, Version); 1] = [(Feature::PageReporting, Version(1, 14, 0))];

impl Version {
    /// Whether it has a feature.
    pub(super) fn has(self, feature: Feature) -> bool {
        SINCE
            .iter()
            .any(|&(listed, since)| listed == feature && self >= since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feature_is_there_from_its_first_release_on() {
        for (version, expected) in [
            (Version(1, 8, 0), false),
            (Version(1, 13, 9), false),
            (Version(1, 14, 0), true),
            (Version(1, 16, 1), true),
            (Version(2, 0, 0), true),
        ] {
            assert_eq!(version.has(Feature::PageReporting), expected, "{version}");
        }
    }
}
