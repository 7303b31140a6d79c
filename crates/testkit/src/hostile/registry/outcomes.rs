//! Where each lie is told, and what it may come to. Lies of one kind stand together: a range of them is the kind.

use super::{Phase, RegistryLie};

impl RegistryLie {
    /// Where it can be told: in any phase what is wrong with HTTP, the others where what they are about is.
    #[must_use]
    pub fn phases(self) -> &'static [Phase] {
        const IMAGE: &[Phase] = &[Phase::Token, Phase::Manifest, Phase::Config, Phase::Layer];
        match self {
            _ if self <= Self::Encoded => &Phase::ALL,
            _ if self <= Self::OddlyLater => IMAGE,
            Self::RedirectOfManifest => &[Phase::Manifest],
            _ if self < Self::RealmElsewhere => &[Phase::Layer],
            Self::RealmRedirects
            | Self::EndlessToken
            | Self::HugeToken
            | Self::TokenWithHeaders
            | Self::NoToken => &[Phase::Token],
            _ if self < Self::OtherBlob => &[Phase::Manifest],
            Self::OtherConfig => &[Phase::Config],
            _ if self < Self::OddVariables => &[Phase::Layer],
            _ if self < Self::MirrorWantsLogin => &[Phase::Config],
            _ if self < Self::CatalogNotJson => &[Phase::Manifest],
            _ if self < Self::BundleOther => &[Phase::Catalog],
            _ => &[Phase::Bundle],
        }
    }

    /// Whether it is told by a mirror of the registry.
    #[must_use]
    pub fn is_of_mirror(self) -> bool {
        (Self::MirrorWantsLogin..Self::CatalogNotJson).contains(&self)
    }

    /// Whether a command may wait for as long as its user likes: something comes, or may yet come.
    #[must_use]
    pub fn may_last(self) -> bool {
        matches!(
            self,
            Self::EndlessBody
                | Self::EndlessChunks
                | Self::Nothing
                | Self::Trickle
                | Self::TrickledBody
                | Self::GiantLength
                | Self::GiantChunk
                | Self::EndlessContinue
                | Self::EndlessToken
        )
    }

    /// Whether what was asked for may be had all the same: what is wrong is left out, or is none of the client's
    /// business.
    #[must_use]
    pub fn may_go_well(self) -> bool {
        matches!(
            self,
            Self::RedirectElsewhere
                | Self::OddScope
                | Self::TwiceNamed
                | Self::OtherDigestHeader
                | Self::LayerAgain
                | Self::ResumedOther
                | Self::ResumedFromStart
                | Self::ResumedElsewhere
                | Self::ResumedNowhere
                | Self::ResumeRefused
                | Self::CutAgain
                | Self::ManyMembers
                | Self::ManyFrames
                | Self::Absolute
                | Self::ThroughLink
                | Self::ThroughOlderLink
                | Self::OddWhiteouts
                | Self::Devices
                | Self::SetId
                | Self::EndlessGlobals
                | Self::ManyFiles
                | Self::SameFile
                | Self::NamesInText
                | Self::OddVariables
                | Self::BadVariable
                | Self::HugeCommand
                | Self::ManyLabels
                | Self::LongHistory
                | Self::LabelsInText
                | Self::MirrorWantsLogin
                | Self::MirrorWantsToken
                | Self::MirrorOfOthers
                | Self::CatalogElsewhere
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_lie_has_a_phase_and_one_side_tells_it() {
        for lie in RegistryLie::ALL {
            assert!(!lie.phases().is_empty(), "{lie:?}");
        }
        let phases = |lie: RegistryLie| lie.phases().to_vec();
        assert_eq!(phases(RegistryLie::Dots), [Phase::Layer]);
        assert_eq!(phases(RegistryLie::OddUser), [Phase::Config]);
        assert_eq!(phases(RegistryLie::KernelDots), [Phase::Bundle]);
        assert_eq!(phases(RegistryLie::HugeConfig), [Phase::Manifest]);
        assert_eq!(phases(RegistryLie::Reset), Phase::ALL);
    }
}
