//! Images that lie on this machine already: OCI layouts and docker archives.

mod docker;
mod layout;
mod pack;

pub use docker::open_docker_archive;
pub use layout::open_layout;
pub use pack::{pack_layout, unpack_layout};
