//! Copies into a VM.

use std::io;

use api::client::{Client, ClientError};
use archive::{ArchiveError, PackOptions, Source};
use guest::files::{WriteFiles, Written, pipe};

use crate::failure::Failure;
use crate::render::{self, Transfer};
use crate::terminal::Input;

/// A tree of this host.
pub(super) async fn tree(
    client: &Client,
    source: Source,
    options: PackOptions,
    vm: &str,
    to: &WriteFiles,
    mut progress: Transfer,
) -> Result<u8, Failure> {
    let (pieces, tar) = pipe();
    let shown = progress.clone();
    let packed = tokio::task::spawn_blocking(move || {
        source.pack(options, &mut |piece| {
            progress.add(piece.len());
            pieces
                .blocking_send(Ok(piece))
                .map_err(|_| io::ErrorKind::BrokenPipe.into())
        })
    });
    let written = client.write_files(vm, to, tar).await;
    shown.clear();
    // Nobody takes the stream any more, so this has ended or is about to.
    match packed.await {
        // What the guest says about it is only what it was told.
        Ok(Err(error)) if !matches!(error, ArchiveError::Stream { .. }) => Err(Failure::new(error.line())),
        Ok(_) => done(written),
        Err(error) => Err(Failure::new(format!("cannot read the files: {error}"))),
    }
}

/// A tar stream on stdin.
pub(super) async fn stdin(
    client: &Client,
    vm: &str,
    to: &WriteFiles,
    mut progress: Transfer,
) -> Result<u8, Failure> {
    let (pieces, tar) = pipe();
    let mut input = Input::open()?;
    let shown = progress.clone();
    let feed = async move {
        while let Some(piece) = input.next().await {
            progress.add(piece.len());
            if pieces.send(Ok(piece.into())).await.is_err() {
                break;
            }
        }
    };
    let written = client.write_files(vm, to, tar);
    tokio::pin!(written, feed);
    let written = tokio::select! {
        written = &mut written => written,
        () = &mut feed => written.await,
    };
    shown.clear();
    done(written)
}

/// Ends a copy with what was left out.
pub(super) fn done(written: Result<Written, ClientError>) -> Result<u8, Failure> {
    let written = written?;
    warn(&written.warnings, written.more_warnings);
    Ok(0)
}

/// Says what was left out.
pub(super) fn warn(warnings: &[String], more: u64) {
    for warning in warnings {
        render::warning(warning);
    }
    if more > 0 {
        render::warning(&format!("{more} more were left out"));
    }
}
