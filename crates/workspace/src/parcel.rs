//! What goes into a guest beside the objects: files of the working tree and the lists that say what they are.

use std::io;
use std::path::PathBuf;

use archive::{ArchiveError, Members};
use bytes::Bytes;
use process::FileRights;

use crate::error::{WorkspaceError, shown};
use crate::owner::{self, Owner};

/// A tree of one folder, to be unpacked in the guest.
#[derive(Clone, Debug)]
pub struct Parcel {
    /// Name of the folder.
    pub(crate) name: String,
    /// Working tree that the files lie in.
    pub(crate) top: PathBuf,
    pub(crate) owner: Option<Owner>,
    pub(crate) files: Vec<Vec<u8>>,
    pub(crate) lists: Vec<(&'static str, Vec<u8>)>,
}

impl Parcel {
    /// Packs it as a tar stream; `send` takes it, piece by piece. Where a file cannot be read, the stream ends with a
    /// line that says so to whoever unpacks it, and so does this.
    ///
    /// # Errors
    /// A file is gone or cannot be read, or `send` failed.
    pub fn pack(&self, send: &mut dyn FnMut(Bytes) -> io::Result<()>) -> Result<(), WorkspaceError> {
        let _rights = owner::rights(self.owner)?;
        let mut send = |piece| {
            let _own = FileRights::own();
            send(piece)
        };
        let mut members = Members::below(&self.top, &mut send).map_err(read)?;
        let below = format!("{}/files", self.name);
        for (list, text) in &self.lists {
            members
                .bytes(format!("{}/lists/{list}", self.name).as_bytes(), 0o644, text)
                .map_err(read)?;
        }
        for file in &self.files {
            let failure = match members.file(&below, file) {
                Ok(true) => continue,
                Ok(false) => WorkspaceError::Moved { path: shown(file) },
                Err(error @ ArchiveError::Stream { .. }) => return Err(read(error)),
                Err(error) => read(error),
            };
            members.give_up(&failure.to_string()).map_err(read)?;
            return Err(failure);
        }
        members.end().map_err(read)
    }
}

fn read(error: ArchiveError) -> WorkspaceError {
    match error {
        ArchiveError::File { action, path, source } => WorkspaceError::Host { action, path, source },
        ArchiveError::Stream { source, .. } => WorkspaceError::Guest {
            action: "unpack the files",
            source,
        },
        error => WorkspaceError::Host {
            action: "read",
            path: String::new(),
            source: io::Error::other(error),
        },
    }
}
