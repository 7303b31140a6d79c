//! Sending an image of the user's to the daemon, which never sees where it lies.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use api::UploadImage;
use api::client::{Client, ClientError, Events};
use bytes::Bytes;
use tokio::sync::mpsc;

/// Bytes of one piece.
const PIECE: usize = 256 << 10;
/// Pieces on their way.
const PIECES: usize = 4;

/// What is sent.
#[derive(Debug)]
pub enum Source {
    /// An OCI layout.
    Layout(PathBuf),
    /// What `docker save` has written.
    Archive(PathBuf),
}

/// Sends it. A file that cannot be read is told as such, whatever the daemon makes of the missing rest.
///
/// # Errors
/// [`ClientError`]; what is wrong with the source as one of the daemon's kind.
pub async fn send(
    client: &Client,
    name: &str,
    request: &UploadImage,
    source: Source,
) -> Result<Events, ClientError> {
    let (sender, receiver) = mpsc::channel(PIECES);
    let reader = tokio::task::spawn_blocking(move || read(&source, &sender));
    let pieces = futures::stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|piece| (piece, receiver))
    });
    let sent = client.upload_image(name, request, pieces).await;
    match (sent, reader.await) {
        (Err(_), Ok(Err(problem))) => Err(ClientError::Api(api::ApiError {
            code: api::ErrorCode::Invalid,
            message: problem,
            hint: None,
            operation: None,
        })),
        (sent, _) => sent,
    }
}

/// Reads the source into pieces. The error is of the source's making; that the daemon has heard enough is none.
fn read(source: &Source, sender: &mpsc::Sender<io::Result<Bytes>>) -> Result<(), String> {
    let mut out = BufWriter::with_capacity(PIECE, Pieces(sender.clone()));
    let outcome = match source {
        Source::Layout(folder) => oci::pack_layout(folder, &mut out).map_err(|error| told(&error)),
        Source::Archive(file) => File::open(file)
            .and_then(|mut file| io::copy(&mut file, &mut out))
            .and_then(|_| out.flush())
            .map_err(|error| format!("cannot read {}: {error}", file.display())),
    };
    if sender.is_closed() {
        return Ok(());
    }
    if outcome.is_err() {
        // The daemon must not take what has come for the whole.
        let _ = sender.blocking_send(Err(io::ErrorKind::UnexpectedEof.into()));
    }
    outcome
}

fn told(error: &oci::OciError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

struct Pieces(mpsc::Sender<io::Result<Bytes>>);

impl Write for Pieces {
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
