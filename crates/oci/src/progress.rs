//! What a pull tells while it goes on.

use crate::digest::Digest;

/// One step of a pull. Events of different layers come from different threads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The image is known; these are its layers, oldest first, each once.
    Image {
        /// The manifest's digest.
        manifest: Digest,
        /// Layers with their stored sizes.
        layers: Vec<(Digest, u64)>,
    },
    /// A registry's mirror does not serve the image; others are asked.
    MirrorFailed {
        /// As the user names it.
        mirror: String,
        /// Why, as it may be shown.
        reason: String,
    },
    /// A layer was in the cache.
    Cached {
        /// Which.
        layer: Digest,
    },
    /// A part of a layer has come.
    Downloading {
        /// Which.
        layer: Digest,
        /// Bytes so far; less than before where a server cannot go on and starts again.
        received: u64,
    },
    /// A layer is whole and its digest right.
    Downloaded {
        /// Which.
        layer: Digest,
    },
}

/// Whoever is told.
pub type Progress<'p> = &'p (dyn Fn(Event) + Sync);
