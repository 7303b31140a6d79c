//! The multiplexer over a link's session: yamux, its limits, and the tasks that drive it.
//!
//! The host opens every stream, the agent only takes them. Windows stay at yamux' 256 KiB and never grow, so that
//! what a peer can make the other end keep is bounded by [`MAX_IN_FLIGHT`].

mod stream;

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use yamux::{Config, Connection, Mode};

pub use stream::Stream;

use crate::link::{MAX_PAYLOAD, Session};

/// Streams that one session may have open. The host keeps well below it: at the limit yamux ends the session.
const MAX_STREAMS: usize = 1024;

/// The most that both ends together may have on their way in one direction of a session.
pub(crate) const MAX_IN_FLIGHT: usize = MAX_STREAMS * yamux::DEFAULT_CREDIT as usize;

/// Length of a yamux header in bytes.
const YAMUX_HEADER: usize = 12;

/// How long the end of a session may take to be told to the agent.
const FAREWELL: Duration = Duration::from_millis(250);

fn limits() -> Config {
    let mut config = Config::default();
    config
        .set_max_num_streams(MAX_STREAMS)
        // No more than each stream's first window: windows never grow.
        .set_max_connection_receive_window(Some(MAX_IN_FLIGHT))
        // A full yamux frame is a full outer frame is a full buffer of the virtqueue.
        .set_split_send_size(MAX_PAYLOAD - YAMUX_HEADER);
    config
}

/// The host's wish for a stream.
pub(crate) type StreamRequest = oneshot::Sender<Stream>;

/// Drives the host's end until the link is lost or every requester is gone; then `closed` turns true.
pub(crate) async fn drive_host(
    session: Session<UnixStream>,
    mut requests: mpsc::Receiver<StreamRequest>,
    closed: watch::Sender<bool>,
) {
    let mut connection = Connection::new(session, limits(), Mode::Client);
    let mut waiting = None;
    poll_fn(|cx| poll_host(&mut connection, &mut requests, &mut waiting, cx)).await;
    closed.send_replace(true);
    drop((requests, waiting));
    let _ = timeout(FAREWELL, poll_fn(|cx| connection.poll_close(cx))).await;
}

fn poll_host(
    connection: &mut Connection<Session<UnixStream>>,
    requests: &mut mpsc::Receiver<StreamRequest>,
    waiting: &mut Option<StreamRequest>,
    cx: &mut Context<'_>,
) -> Poll<()> {
    loop {
        while let Some(request) = waiting.take() {
            match connection.poll_new_outbound(cx) {
                // A requester that has gone away drops the stream, unopened.
                Poll::Ready(Ok(stream)) => drop(request.send(Stream::new(stream))),
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => {
                    *waiting = Some(request);
                    break;
                }
            }
        }
        if waiting.is_none() {
            match requests.poll_recv(cx) {
                Poll::Ready(Some(request)) => {
                    *waiting = Some(request);
                    continue;
                }
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => {}
            }
        }
        match connection.poll_next_inbound(cx) {
            // The agent opens no streams. What came with one that it did open would be kept until the guest reads that it
            // was refused, which it need not.
            Poll::Ready(Some(_) | None) => return Poll::Ready(()),
            Poll::Pending => return Poll::Pending,
        }
    }
}

/// Drives the agent's end of a session until it ends, and hands each stream to `take`.
pub async fn serve<T: AsyncRead + AsyncWrite + Unpin>(session: Session<T>, mut take: impl FnMut(Stream)) {
    let mut connection = Connection::new(session, limits(), Mode::Server);
    while let Some(Ok(stream)) = poll_fn(|cx| connection.poll_next_inbound(cx)).await {
        take(Stream::new(stream));
    }
}
