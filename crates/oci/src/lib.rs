//! Container images: from registries, layouts and docker archives, through a cache of layers, to one stream of the
//! entries of the merged file system.
//!
//! ```text
//! Reference ─┬─ Registry::pull ──────┐
//!            ├─ open_layout ─────────┼─ Image { config, layers } ── flatten ── Merged, Merged, …
//!            └─ open_docker_archive ─┘
//! ```
//!
//! How a file system is written is not known here. Everything that comes in is hostile: bounded and checked.

mod cache;
mod config;
mod config_document;
pub mod credentials;
mod digest;
mod document;
mod error;
mod fault;
mod flatten;
mod image;
mod layer;
mod meter;
mod plain_file;
mod progress;
mod reference;
mod registry;
mod store;
mod transport;
mod upload;

pub use cache::{LayerCache, Pruned};
pub use config::{ExposedPort, ImageConfig, Protocol};
pub use credentials::Login;
pub use digest::Digest;
pub use document::Platform;
pub use error::{OciError, RealmFault};
pub use fault::Fault;
pub use flatten::{Flattened, Limits, Merged, flatten, flatten_by_plan};
pub use image::Image;
pub use layer::{Compression, Layer};
pub use meter::Meter;
pub use progress::{Event, Progress};
pub use reference::{DEFAULT_REGISTRY, Reference, RegistryReference};
pub use registry::{Mirror, Options, Patience, Registry, tls};
pub use store::{open_docker_archive, open_layout, pack_layout, unpack_layout};
pub use tarball::{Entry, Kind, Timestamp, Xattr};
pub use transport::split_archive;
