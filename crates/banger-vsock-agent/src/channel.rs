//! Where requests come from: the virtio-serial port named `banger.agent`, or vsock on a VMM that has it.

mod port;
mod vsock;

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use guest::link::Port;
use guest::mux;
use tokio_util::compat::FuturesAsyncReadCompatExt;

use crate::serve_connection;
use crate::system::System;

pub use port::HostPort;
pub use vsock::{each_on_vsock, serve_vsock};

/// Name of the agent's port.
pub const PORT_NAME: &str = "banger.agent";

/// Where the kernel lists ports, each with its name. The names in `/dev/virtio-ports` are udev's, which comes later.
const PORTS: &str = "/sys/class/virtio-ports";

/// The device node of the agent's port, if the kernel has found one.
///
/// # Errors
/// What reading the kernel's list fails with.
pub fn find_port() -> io::Result<Option<PathBuf>> {
    find_port_in(Path::new(PORTS))
}

fn find_port_in(ports: &Path) -> io::Result<Option<PathBuf>> {
    let entries = match std::fs::read_dir(ports) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        // A port without a name has no such file.
        let name = std::fs::read_to_string(entry.path().join("name")).unwrap_or_default();
        if name.trim_end() == PORT_NAME {
            return Ok(Some(Path::new("/dev").join(entry.file_name())));
        }
    }
    Ok(None)
}

/// Serves one session after the other on a port, until it fails. Each stream of a session is a request; those of a
/// session that has ended get end-of-file, which hangs up on the commands they started.
///
/// # Errors
/// What the port fails with.
pub async fn serve_port(port: OwnedFd, system: Arc<dyn System>) -> io::Result<()> {
    let mut port = Port::new(HostPort::new(port)?);
    while let Some(session) = port.accept().await? {
        mux::serve(session, |stream| {
            tokio::spawn(serve_connection(stream.compat(), Arc::clone(&system)));
        })
        .await;
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_found_by_its_name_whatever_its_number() {
        let ports = tempfile::tempdir().unwrap();
        assert_eq!(find_port_in(&ports.path().join("none")).unwrap(), None);
        for (port, name) in [
            ("vport1p1", "org.qemu.guest_agent.0\n"),
            ("vport3p7", "banger.agent\n"),
        ] {
            std::fs::create_dir(ports.path().join(port)).unwrap();
            std::fs::write(ports.path().join(port).join("name"), name).unwrap();
        }
        std::fs::create_dir(ports.path().join("vport0p0")).unwrap();
        assert_eq!(
            find_port_in(ports.path()).unwrap(),
            Some(PathBuf::from("/dev/vport3p7"))
        );
    }
}
