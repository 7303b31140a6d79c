//! What all of banger means by a VM, an image or an operation: their words, the bounds of their values, and which VM a
//! reference names. One type per concept; everything else of a VM is elsewhere.

mod image;
mod operation;
mod resolve;
pub mod values;
mod vm;

pub use image::{BootWay, ImageKind};
pub use operation::OperationState;
pub use resolve::{Ambiguous, Resolved, Subject, nearest, resolve};
pub use values::{DiskSize, MemorySize, Size, ValueError, VcpuCount, VmName};
pub use vm::{NetworkMode, Reboots, VmState};

/// A word as it stands in the API, in the store and on a terminal.
macro_rules! words {
    ($type:ident: $($variant:ident = $word:literal),+ $(,)?) => {
        impl $type {
            /// Every one.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Its word.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// The one of that word.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.word() == word)
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.word())
            }
        }
    };
}
use words;
