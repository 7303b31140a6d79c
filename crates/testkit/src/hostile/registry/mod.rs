//! A registry, and a server that publishes a catalog, that are not the real ones: what they answer is made to do harm, to
//! get at a login, or never ends.
//!
//! ```text
//! registry :A   /v2/app/…  wants a token of its own token server, which wants the login
//! catalog  :B   /catalog.json, and the bundles of the image `boxed` and the kernel `metal`
//! elsewhere :C  where a lie leads to; a registry's mirror, too. Whatever comes here without being asked for is a leak
//! ```
//!
//! Without a lie all three are honest. A lie is told at one [`Phase`]; what is asked for in the others gets an honest
//! answer, as far as that leads to where the lie is told.

mod bundles;
mod catalogs;
mod documents;
mod downloads;
mod layers;
mod lies;
mod outcomes;
mod packed;
mod places;
mod server;
mod transport;

pub use lies::RegistryLie;
pub use server::{Asked, HostileRegistry, Port};

/// Where a lie is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// The token server's answer.
    Token,
    /// The manifest by its tag, or what comes in its place.
    Manifest,
    /// The image's configuration.
    Config,
    /// A layer.
    Layer,
    /// The published catalog.
    Catalog,
    /// A bundle of the catalog's.
    Bundle,
}

impl Phase {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Token,
        Self::Manifest,
        Self::Config,
        Self::Layer,
        Self::Catalog,
        Self::Bundle,
    ];

    /// Whether it is one of the catalog's server.
    #[must_use]
    pub fn is_of_catalog(self) -> bool {
        matches!(self, Self::Catalog | Self::Bundle)
    }
}
