//! Copies out of a VM that go on to something else: another VM, or the user's own tar.
//!
//! What a guest sends is written anew on the way, by the names that were asked for: what is behind it may be less
//! careful than this program's own unpacking.

use std::io;

use api::client::{Chunks, Client};
use archive::{ArchiveError, Keep, Pieces, Summary, Top, sift};
use bytes::Bytes;
use guest::files::{ReadFiles, WriteFiles, pipe};
use tokio::sync::mpsc;

use super::read::{PIECES, feed, refused};
use super::write::{done, warn};
use crate::failure::Failure;
use crate::render::Transfer;
use crate::terminal::{Output, Piece};

/// A tree, as a tar stream on stdout.
pub(super) async fn stdout(
    client: &Client,
    vm: &str,
    from: &ReadFiles,
    top: Top,
    progress: Transfer,
) -> Result<u8, Failure> {
    let chunks = client.read_files(vm, from).await?;
    let output = Output::open()?;
    let (sender, mut receiver) = mpsc::channel(PIECES);
    let write = async {
        while let Some(piece) = receiver.recv().await {
            let Ok::<Bytes, io::Error>(piece) = piece else {
                break;
            };
            if !output.write(Piece::Out(piece.into())).await {
                break;
            }
        }
        // What comes after this is not taken, which ends the copy.
        drop(receiver);
    };
    let (sifted, ()) = tokio::join!(sifted(chunks, top, from.archive, sender, progress.clone()), write);
    progress.clear();
    output.finish().await.map_err(|error| Failure::output(&error))?;
    let summary = sifted?.map_err(|error| refused(vm, &error))?;
    warn(&summary.warnings, summary.more_warnings);
    Ok(0)
}

/// A tree of another VM.
pub(super) async fn between(
    client: &Client,
    (from, read): (&str, &ReadFiles),
    top: Top,
    (vm, to): (&str, &WriteFiles),
    progress: Transfer,
) -> Result<u8, Failure> {
    let chunks = client.read_files(from, read).await?;
    let (sender, tar) = pipe();
    let written = client.write_files(vm, to, tar);
    let (sifted, written) = tokio::join!(
        sifted(chunks, top, read.archive, sender, progress.clone()),
        written
    );
    progress.clear();
    match sifted? {
        Ok(summary) => warn(&summary.warnings, summary.more_warnings),
        // Whoever refuses the rest says why.
        Err(error) if gone(&error) && written.is_err() => {}
        Err(error) => return Err(refused(from, &error)),
    }
    done(written)
}

/// Whether a stream ended because nobody takes it.
fn gone(error: &ArchiveError) -> bool {
    matches!(error, ArchiveError::Stream { source, .. } if source.kind() == io::ErrorKind::BrokenPipe)
}

/// Sends what a guest sends on to `sender`, as far as it is what was asked for. The last piece of a stream that is
/// not is an error, so that nobody takes it for whole.
async fn sifted(
    chunks: Chunks,
    top: Top,
    archive: bool,
    sender: mpsc::Sender<io::Result<Bytes>>,
    mut progress: Transfer,
) -> Result<Result<Summary, ArchiveError>, Failure> {
    let keep = Keep {
        owners: archive,
        modes: archive,
        privileges: false,
    };
    let (pieces, mut queue) = mpsc::channel::<io::Result<Bytes>>(PIECES);
    let sifting = tokio::task::spawn_blocking(move || {
        let stream = Pieces::new(|| queue.blocking_recv().transpose());
        let sifted = sift(stream, &top, keep, &mut |piece| {
            let sent = sender.blocking_send(Ok(piece));
            sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
        });
        if sifted.is_err() {
            let _ = sender.blocking_send(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        sifted
    });
    feed(chunks, pieces, &mut progress).await;
    sifting
        .await
        .map_err(|error| Failure::new(format!("cannot copy the files: {error}")))
}
