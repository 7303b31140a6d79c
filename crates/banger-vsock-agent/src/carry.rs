//! What a request's connection can be joined to.

use tokio::io::{AsyncRead, AsyncWrite};

/// The other end: a connection within the guest.
pub(crate) trait Carry: Send + 'static {
    /// Carries bytes until both sides have ended. True: in order.
    fn carry<S>(self, stream: S) -> impl Future<Output = bool> + Send
    where
        S: AsyncRead + AsyncWrite + Send + Unpin;
}
