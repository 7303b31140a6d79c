//! The host's way into a session: flush, HELLO, and patience until the ACK.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};

use super::codec::{Decoder, HEADER, Header, Kind, MAX_PAYLOAD};
use super::port::Session;

/// How long each HELLO on one connection waits for its ACK. A guest that runs answers within milliseconds; the
/// later, longer waits are for one that is still booting.
const PATIENCE: [Duration; 4] = [
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(650),
    Duration::from_secs(1),
];

/// Rest between two connections: QEMU takes the next one only after it has noticed the end of the last.
const REST: Duration = Duration::from_millis(30);

/// Opens a session through the Unix socket of a virtio-serial port.
///
/// Waits for as long as it takes the guest to open its end; the caller drops the future when it has waited enough.
/// One HELLO is not enough: after a host's process was killed in mid transfer, the next ones lose some.
///
/// # Errors
/// What connecting fails with: nobody listens on the socket, so there is no machine.
pub async fn connect(socket: &Path) -> io::Result<Session<UnixStream>> {
    loop {
        let mut stream = match UnixStream::connect(socket).await {
            Ok(stream) => stream,
            // The backlog is full: QEMU's holds one, the connection that it has not noticed the end of yet.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                sleep(REST).await;
                continue;
            }
            Err(error) => return Err(error),
        };
        // A stream that breaks here is the old connection's end; whether the machine is gone shows in connecting.
        if let Ok(Some((decoder, id))) = greet(&mut stream).await {
            return Ok(Session::over(stream, decoder, id));
        }
        drop(stream);
        sleep(REST).await;
    }
}

/// Sends HELLOs until one is answered; `None` when none of this connection's was.
async fn greet<T: AsyncRead + AsyncWrite + Unpin>(stream: &mut T) -> io::Result<Option<(Decoder, u64)>> {
    for patience in PATIENCE {
        let id = fresh_id();
        let mut hello = vec![0; MAX_PAYLOAD + HEADER];
        hello.extend_from_slice(
            &Header {
                kind: Kind::Hello,
                session: id,
                length: 0,
            }
            .encode(),
        );
        let answered = timeout(patience, async {
            stream.write_all(&hello).await?;
            find_ack(stream, id).await
        });
        match answered.await {
            Ok(decoder) => return decoder.map(|decoder| Some((decoder, id))),
            // The HELLO may be cut: the next one's zeros take care of that.
            Err(_elapsed) => {}
        }
    }
    Ok(None)
}

/// Throws input away up to and with the ACK of `id`. What came after it is left in the decoder.
async fn find_ack(stream: &mut (impl AsyncRead + Unpin), id: u64) -> io::Result<Decoder> {
    let ack = Header {
        kind: Kind::Ack,
        session: id,
        length: 0,
    }
    .encode();
    let mut seen: Vec<u8> = Vec::with_capacity(2 * (MAX_PAYLOAD + HEADER));
    loop {
        if stream.read_buf(&mut seen).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(at) = seen.windows(HEADER).position(|window| window == ack) {
            let mut decoder = Decoder::new();
            decoder.input().extend_from_slice(&seen[at + HEADER..]);
            return Ok(decoder);
        }
        let stale = seen.len().saturating_sub(HEADER - 1);
        seen.drain(..stale);
    }
}

/// A session id that no earlier session had, also one of another process.
fn fresh_id() -> u64 {
    uuid::Uuid::new_v4().as_u64_pair().1
}
