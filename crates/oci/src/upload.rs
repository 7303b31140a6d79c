//! Errors about what a client has sent: by what the user knows of it, and not by where it was put meanwhile.

use std::path::{Path, PathBuf};

use crate::error::OciError;

impl OciError {
    /// The error with `called` in the place of a path that the user has not named.
    #[must_use]
    pub fn of_upload(mut self, path: &Path, called: &str) -> Self {
        let own = path.display().to_string();
        let name = |text: &mut String| *text = text.replace(&own, called);
        match &mut self {
            Self::BadStore { path: at, .. }
            | Self::NoSuchTag { path: at, .. }
            | Self::File { path: at, .. } => {
                if at == path {
                    *at = PathBuf::from(called);
                } else if let Ok(below) = at.strip_prefix(path) {
                    *at = Path::new(called).join(below);
                }
            }
            Self::NoPlatform { image: text, .. }
            | Self::BadDocument { what: text, .. }
            | Self::MediaType { what: text, .. }
            | Self::TooLarge { what: text, .. }
            | Self::Entry { layer: text, .. } => name(text),
            _ => {}
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_has_sent_is_not_called_by_where_it_was_put() {
        let path = Path::new("/state/.new-upload-1");
        let store = |path: &str| OciError::BadStore {
            path: path.into(),
            reason: "is broken".into(),
        };
        for (error, message) in [
            (store("/state/.new-upload-1"), "the archive: is broken"),
            (
                store("/state/.new-upload-1/index.json"),
                "the archive/index.json: is broken",
            ),
            (store("/elsewhere"), "/elsewhere: is broken"),
            (
                OciError::NoPlatform {
                    image: "/state/.new-upload-1".into(),
                    wanted: "linux/amd64".into(),
                    available: "linux/arm64".into(),
                },
                "the archive has no image for linux/amd64; it has linux/arm64",
            ),
            (
                OciError::TooLarge {
                    what: "/state/.new-upload-1: manifest.json".into(),
                    limit: 4,
                },
                "the archive: manifest.json is larger than 4 bytes",
            ),
        ] {
            assert_eq!(error.of_upload(path, "the archive").to_string(), message);
        }
    }
}
