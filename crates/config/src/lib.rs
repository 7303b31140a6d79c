//! Configuration file, paths and defaults of both modes.
//!
//! This crate reads the process's surroundings (variables, the configuration file, the host's size) and turns them
//! into checked values.

mod address;
mod certificates;
mod environment;
mod file;
mod file_sync;
mod networks;
mod paths;
mod prepare;
mod registry_mirrors;
mod settings;

pub use certificates::{CertificateError, host_ca_certificates};
pub use environment::Environment;
pub use file::{ConfigError, parse_toml};
pub use file_sync::{FileSync, HostPath};
pub use networks::{IpNetwork, NetworkSettings};
pub use paths::{Paths, PathsError};
pub use registry_mirrors::{RegistryMirror, RegistryMirrors};
pub use settings::{
    Compression, Config, Confinement, GuestSettings, HostShape, ImageSettings, LimitSettings, LogLevel,
    RecipeSettings, VmDefaults, VmmChoice,
};
