//! Who is at the other end of the socket.

use std::sync::LazyLock;

use api::client::Trust;
use tokio::net::UnixStream;

/// Where strangers have the owner's number, nobody but root is let in by it.
static TRUST: LazyLock<Trust> = LazyLock::new(Trust::of_process);

/// Whether the peer may drive this daemon: its owner and root may.
pub(crate) fn is_allowed(stream: &UnixStream, owner: u32) -> bool {
    match stream.peer_cred() {
        Ok(peer) if (peer.uid() == owner || peer.uid() == 0) && TRUST.admits(peer.uid()) => true,
        Ok(peer) => {
            tracing::warn!(uid = peer.uid(), "refused a connection of another user");
            false
        }
        Err(error) => {
            tracing::warn!(%error, "refused a connection of nobody knows whom");
            false
        }
    }
}
