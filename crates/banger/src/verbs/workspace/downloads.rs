//! What mise has downloaded before, given to guests so that they need not download it again: `<cache>/mise/`.
//!
//! It goes one way. A guest is not trusted, and what one VM writes must not be what the next one installs: nothing
//! comes out of a guest by itself. The user fills the folder, with what they trust.

use std::io;
use std::path::PathBuf;

use api::client::Client;
use archive::{ArchiveError, PackOptions, Source};
use config::{Environment, Paths};
use guest::files::{WriteFiles, pipe};

use crate::failure::Failure;

/// Where mise keeps downloads in a guest.
pub(super) const THERE: &str = "/root/.local/share/mise/downloads";

/// The folder, if the user has made one.
pub(super) fn folder() -> Option<PathBuf> {
    let paths = Paths::personal(&Environment::of_process()).ok()?;
    Some(paths.cache().join("mise")).filter(|folder| folder.is_dir())
}

/// Gives a VM what is in the folder: copies, which it may do with as it likes.
///
/// # Errors
/// The folder cannot be read, or the VM has no room.
pub(super) async fn give(client: &Client, vm: &str, folder: PathBuf) -> Result<(), Failure> {
    let cannot = |why: String| Failure::new(format!("cannot share {}: {why}", folder.display()));
    let source = Source::open(&folder.join("."), true).map_err(|error| cannot(error.line()))?;
    let (pieces, tar) = pipe();
    let packed = tokio::task::spawn_blocking(move || {
        source.pack(PackOptions::default(), &mut |piece| {
            let sent = pieces.blocking_send(Ok(piece));
            sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
        })
    });
    let to = WriteFiles {
        path: THERE.as_bytes().to_vec(),
        copy: false,
        archive: false,
    };
    let written = client.write_files(vm, &to, tar).await;
    match packed.await {
        // What the guest says about it is only what it was told.
        Ok(Err(error)) if !matches!(error, ArchiveError::Stream { .. }) => Err(cannot(error.line())),
        Ok(_) => written.map(drop).map_err(Failure::from),
        Err(error) => Err(cannot(error.to_string())),
    }
}
