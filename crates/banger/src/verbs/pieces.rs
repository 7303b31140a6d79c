//! Sending what is read or made on this side to the daemon, which never sees where it lies.

use std::io::{self, BufWriter, Write};

use api::client::ClientError;
use bytes::Bytes;
use futures::Stream;
use tokio::sync::mpsc;

/// Bytes of one piece.
const PIECE: usize = 256 << 10;
/// Pieces on their way.
const PIECES: usize = 4;

/// Has `write` write into a stream, on a thread of its own, which `send` sends. What `write` fails with is told as
/// such, whatever the daemon makes of the missing rest.
///
/// # Errors
/// [`ClientError`]; what `write` fails with as one of the daemon's kind.
pub async fn send<T, S>(
    write: impl FnOnce(&mut dyn Write) -> Result<(), String> + Send + 'static,
    send: impl FnOnce(Pieces) -> S,
) -> Result<T, ClientError>
where
    S: Future<Output = Result<T, ClientError>>,
{
    let (sender, receiver) = mpsc::channel(PIECES);
    let writer = tokio::task::spawn_blocking(move || {
        let mut out = BufWriter::with_capacity(PIECE, Out(sender.clone()));
        let outcome = write(&mut out).and_then(|()| out.flush().map_err(|error| error.to_string()));
        // That the daemon has heard enough is no failure of the writer's.
        if sender.is_closed() {
            return Ok(());
        }
        if outcome.is_err() {
            // The daemon must not take what has come for the whole.
            let _ = sender.blocking_send(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        outcome
    });
    let sent = send(Box::pin(futures::stream::unfold(
        receiver,
        |mut receiver| async { receiver.recv().await.map(|piece| (piece, receiver)) },
    )))
    .await;
    match (sent, writer.await) {
        (Err(_), Ok(Err(problem))) => Err(ClientError::Api(api::ApiError {
            code: api::ErrorCode::Invalid,
            message: problem,
            hint: None,
            operation: None,
        })),
        (sent, _) => sent,
    }
}

/// What is sent, piece by piece.
pub type Pieces = std::pin::Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

struct Out(mpsc::Sender<io::Result<Bytes>>);

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .blocking_send(Ok(Bytes::copy_from_slice(bytes)))
            .map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
