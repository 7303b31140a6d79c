//! Copies out of a VM.

use std::io;
use std::path::PathBuf;

use api::client::{Chunks, Client};
use archive::{ArchiveError, Keep, Pieces, Placement, Target, Top, unpack};
use bytes::Bytes;
use guest::files::ReadFiles;
use tokio::sync::mpsc;

use super::super::operation::ending;
use super::write::warn;
use crate::failure::Failure;
use crate::render::{self, Transfer};
use crate::terminal::{Signals, exit_code};

/// Pieces that wait for the disk.
pub(super) const PIECES: usize = 8;

/// A tree, to a path of this host, as what is called `top`.
pub(super) async fn tree(
    client: &Client,
    vm: &str,
    (from, top): (&ReadFiles, Top),
    to: PathBuf,
    mut progress: Transfer,
    signals: &mut Signals,
) -> Result<u8, Failure> {
    let chunks = tokio::select! {
        chunks = client.read_files(vm, from) => chunks?,
        signal = ending(signals) => return Err(Failure::quiet(exit_code(signal))),
    };
    let keep = Keep {
        owners: from.archive && may_give_away(),
        modes: from.archive,
        privileges: false,
    };
    let (pieces, mut queue) = mpsc::channel::<io::Result<Bytes>>(PIECES);
    let unpacked = tokio::task::spawn_blocking(move || {
        let stream = Pieces::new(|| queue.blocking_recv().transpose());
        unpack(stream, &Target::new(to, Placement::CopyOf(top)), keep)
    });
    let ended = tokio::select! {
        () = feed(chunks, pieces.clone(), &mut progress) => None,
        signal = ending(signals) => Some(signal),
    };
    if ended.is_some() {
        // Not just the end of the stream: what is half is to be taken away.
        let _ = pieces.send(Err(io::ErrorKind::ConnectionAborted.into())).await;
    }
    drop(pieces);
    let unpacked = unpacked.await;
    progress.clear();
    if let Some(signal) = ended {
        return Err(Failure::quiet(exit_code(signal)));
    }
    let summary = unpacked
        .map_err(|error| Failure::new(format!("cannot write the files: {error}")))?
        .map_err(|error| refused(vm, &error))?;
    warn(&summary.warnings, summary.more_warnings);
    Ok(0)
}

/// Hands what a guest sends to a thread, until that takes no more.
pub(super) async fn feed(
    mut chunks: Chunks,
    pieces: mpsc::Sender<io::Result<Bytes>>,
    progress: &mut Transfer,
) {
    loop {
        let piece = match chunks.next().await {
            Ok(Some(piece)) => {
                progress.add(piece.len());
                Ok(piece)
            }
            Ok(None) => return,
            Err(error) => Err(io::Error::other(error)),
        };
        let last = piece.is_err();
        if pieces.send(piece).await.is_err() || last {
            return;
        }
    }
}

/// Why a copy out of a VM was broken off, and whose words that are.
pub(super) fn refused(vm: &str, error: &ArchiveError) -> Failure {
    let line = error.line();
    Failure::new(match error {
        ArchiveError::File { .. } => line,
        ArchiveError::Told(_) => format!("in `{vm}`: {line}"),
        _ => format!("copying from `{vm}`: {line}"),
    })
}

/// Whether files can be given to others; says so if not.
fn may_give_away() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        render::warning("only root can keep owners: what is copied is yours");
    }
    root
}
