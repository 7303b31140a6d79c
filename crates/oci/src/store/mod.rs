//! Images that lie on this machine already: OCI layouts and docker archives.

mod docker;
mod layout;

pub use docker::open_docker_archive;
pub use layout::open_layout;
