//! The agent's port on vsock: one connection a request, from the host only.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, VsockAddr, bind, getpeername, listen, socket,
};
use tokio::sync::Semaphore;

use crate::descriptor::Descriptor;
use crate::serve_connection;
use crate::system::System;

/// Connections at a time; more of them wait in the kernel.
const MAX_CONNECTIONS: usize = 1024;

/// Serves the host's connections to [`guest::PORT`] until the listener fails.
///
/// # Errors
/// What listening fails with.
pub async fn serve_vsock(system: Arc<dyn System>) -> io::Result<()> {
    each_on_vsock(|stream| serve_connection(stream, Arc::clone(&system))).await
}

/// Has each of the host's connections to [`guest::PORT`] served, until the listener fails.
///
/// # Errors
/// What listening fails with.
pub async fn each_on_vsock<F>(serve: impl Fn(Descriptor) -> F) -> io::Result<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = socket(
        AddressFamily::Vsock,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
        None,
    )?;
    bind(
        listener.as_raw_fd(),
        &VsockAddr::new(nix::libc::VMADDR_CID_ANY, guest::PORT),
    )?;
    listen(&listener, Backlog::new(64)?)?;
    let listener = Descriptor::new(listener)?;
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            return Ok(()); // Nobody closes the semaphore.
        };
        let stream = Descriptor::new(accept_from_host(&listener).await?)?;
        let served = serve(stream);
        tokio::spawn(async move {
            served.await;
            drop(slot);
        });
    }
}

/// The next connection whose peer is the host: processes of the guest have no business here.
async fn accept_from_host(listener: &Descriptor) -> io::Result<OwnedFd> {
    loop {
        let stream = match listener.accept().await {
            // It was gone again before it was taken.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            stream => stream?,
        };
        match getpeername::<VsockAddr>(stream.as_raw_fd()) {
            Ok(peer) if peer.cid() == nix::libc::VMADDR_CID_HOST => return Ok(stream),
            // Another peer, or one that has gone again.
            Ok(_) | Err(_) => {}
        }
    }
}
