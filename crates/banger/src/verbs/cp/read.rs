//! Copies out of a VM.

use std::io;
use std::path::PathBuf;

use api::client::Client;
use archive::{Keep, Pieces, Placement, Target, unpack};
use bytes::Bytes;
use guest::files::ReadFiles;
use tokio::sync::mpsc;

use super::super::operation::ending;
use super::write::warn;
use crate::failure::Failure;
use crate::render::{self, Transfer};
use crate::terminal::{Output, Piece, Signals, exit_code};

/// Pieces that wait for the disk.
const PIECES: usize = 8;

/// A tree, to a path of this host.
pub(super) async fn tree(
    client: &Client,
    vm: &str,
    from: &ReadFiles,
    to: PathBuf,
    mut progress: Transfer,
    signals: &mut Signals,
) -> Result<u8, Failure> {
    let mut chunks = tokio::select! {
        chunks = client.read_files(vm, from) => chunks?,
        signal = ending(signals) => return Err(Failure::quiet(exit_code(signal))),
    };
    let keep = Keep {
        owners: from.archive && may_give_away(),
        privileges: false,
    };
    let (pieces, mut queue) = mpsc::channel::<io::Result<Bytes>>(PIECES);
    let unpacked = tokio::task::spawn_blocking(move || {
        let stream = Pieces::new(|| queue.blocking_recv().transpose());
        unpack(stream, &Target::new(to, Placement::Copy), keep)
    });
    let feed = async {
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
    };
    let ended = tokio::select! {
        () = feed => None,
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
        .map_err(|error| Failure::new(error.line()))?;
    warn(&summary.warnings, summary.more_warnings);
    Ok(0)
}

/// Whether files can be given to others; says so if not.
fn may_give_away() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        render::warning("only root can keep owners: what is copied is yours");
    }
    root
}

/// A tree, as a tar stream on stdout.
pub(super) async fn stdout(
    client: &Client,
    vm: &str,
    from: &ReadFiles,
    mut progress: Transfer,
) -> Result<u8, Failure> {
    let mut chunks = client.read_files(vm, from).await?;
    let output = Output::open()?;
    let mut broken = None;
    loop {
        match chunks.next().await {
            Ok(Some(piece)) => {
                progress.add(piece.len());
                if !output.write(Piece::Out(piece.into())).await {
                    break;
                }
            }
            Ok(None) => break,
            Err(error) => {
                broken = Some(error);
                break;
            }
        }
    }
    progress.clear();
    output.finish().await.map_err(|error| Failure::output(&error))?;
    match broken {
        Some(error) => Err(error.into()),
        None => Ok(0),
    }
}
