//! A guest's end of the channel, as a virtio-serial port is one: honest sessions, or what a lie makes of it.

use std::time::Duration;

use guest::link::Port;
use guest::mux;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;

use super::{Lie, wire};

/// Time between two looks whether a lie is over.
const LOOK: Duration = Duration::from_millis(50);

/// Serves the port until it ends: its streams go to `take`, unless `lie` is one of the channel itself. The next stream
/// that comes notices that it has become one.
pub async fn serve_channel<T>(
    mut port: T,
    lie: impl Fn() -> Option<Lie>,
    mut take: impl FnMut(mux::Stream, Option<Lie>),
) where
    T: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        if let Some(first) = lie().filter(|lie| lie.is_of_the_wire()) {
            let over = async {
                while lie() == Some(first) {
                    tokio::time::sleep(LOOK).await;
                }
            };
            tokio::select! {
                _ended = wire::tell(first, &mut port) => return,
                () = over => {}
            }
        } else {
            let turned = Notify::new();
            tokio::select! {
                () = sessions(&mut port, &lie, &mut take, &turned) => return,
                () = turned.notified() => {}
            }
        }
    }
}

/// Tells a lie of the channel on a connection that is no session's, for as long as it holds: junk, or silence.
pub async fn lie_on_connection(
    mut stream: impl AsyncWrite + Unpin,
    first: Lie,
    lie: impl Fn() -> Option<Lie>,
) {
    while lie() == Some(first) {
        let junk = async {
            while first == Lie::WireJunk && stream.write_all(&[0xff; 4096]).await.is_ok() {}
            std::future::pending::<()>().await;
        };
        let _ = tokio::time::timeout(LOOK, junk).await;
    }
}

/// One honest session after the other.
async fn sessions<T>(
    port: &mut T,
    lie: &impl Fn() -> Option<Lie>,
    take: &mut impl FnMut(mux::Stream, Option<Lie>),
    turned: &Notify,
) where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mut port = Port::new(port);
    while let Ok(Some(session)) = port.accept().await {
        mux::serve(session, |stream| match lie() {
            Some(lie) if lie.is_of_the_wire() => turned.notify_one(),
            lie => take(stream, lie),
        })
        .await;
    }
}
