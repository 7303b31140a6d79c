//! Connections whose directions end each by itself, whatever carries them.

use guest::Problem;
use guest::forward::Framed;
use hyper::Request;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use super::routes::{asks_for, upgrade};
use crate::carry::Carry;

/// The stream that a request's connection becomes: plain, or framed where the host asks for that.
pub(super) struct Halves {
    upgrade: OnUpgrade,
    framed: bool,
    /// What the request has asked for.
    pub(super) protocol: &'static str,
}

impl Halves {
    pub(super) fn of(
        request: &mut Request<Incoming>,
        [plain, framed]: [&'static str; 2],
    ) -> Result<Self, Problem> {
        let is_framed = asks_for(request, framed);
        let protocol = if is_framed { framed } else { plain };
        Ok(Self {
            upgrade: upgrade(request, protocol)?,
            framed: is_framed,
            protocol,
        })
    }

    /// Joins both, apart from the request. Without a stream the other end is left alone, and ends.
    pub(super) fn join(self, end: impl Carry) {
        tokio::spawn(async move {
            let Ok(stream) = self.upgrade.await else { return };
            let stream = TokioIo::new(stream);
            if !self.framed {
                end.carry(stream).await;
                return;
            }
            let mut stream = Framed::new(stream);
            if end.carry(&mut stream).await {
                stream.closed().await;
            }
        });
    }
}
