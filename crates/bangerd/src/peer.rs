//! Who is at the other end of the socket.

use tokio::net::UnixStream;

/// Whether the peer may drive this daemon: its owner and root may.
pub(crate) fn is_allowed(stream: &UnixStream, owner: u32) -> bool {
    match stream.peer_cred() {
        Ok(peer) if peer.uid() == owner || peer.uid() == 0 => true,
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
