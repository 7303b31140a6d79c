//! The daemon's socket: made whole or not at all, made anew when its folder vanishes.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use api::client::{Trust, short_path};
use config::Paths;
use tokio::net::UnixListener;

use crate::DaemonError;
use crate::lock::Whereabouts;

/// A bound socket and what tells it from another of the same name.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) listener: UnixListener,
    path: PathBuf,
    inode: (u64, u64),
}

impl Socket {
    /// Binds the daemon's socket, mode 0600, and says in the state directory where it is.
    pub(crate) fn bind(paths: &Paths) -> Result<Self, DaemonError> {
        paths.prepare_runtime()?;
        // The same check as the clients', so that no daemon listens where none of them would come.
        Trust::of_process()
            .open_folder(paths.runtime())
            .map_err(DaemonError::Folder)?;
        let path = paths.socket();
        let error = || DaemonError::file("bind", &path);
        // Bound under another name, made private and only then given its own: nobody meets a half-made socket, and
        // what an earlier daemon left there goes in the same moment.
        let staging = path.with_extension(format!("new-{}", std::process::id()));
        let _ = fs::remove_file(&staging);
        let (short, _open) = short_path(&staging).map_err(error())?;
        let listener = UnixListener::bind(short).map_err(error())?;
        fs::set_permissions(&staging, fs::Permissions::from_mode(0o600)).map_err(error())?;
        fs::rename(&staging, &path).map_err(error())?;
        let inode = identity(&path).map_err(error())?;
        tell(paths, &path)?;
        Ok(Self {
            listener,
            path,
            inode,
        })
    }

    /// Whether the path still leads here.
    pub(crate) fn is_there(&self) -> bool {
        identity(&self.path).is_ok_and(|inode| inode == self.inode)
    }

    /// Takes the socket away, and the word of it.
    pub(crate) fn remove(&self, paths: &Paths) {
        if self.is_there() {
            let _ = fs::remove_file(paths.daemon_file());
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

fn tell(paths: &Paths, socket: &Path) -> Result<(), DaemonError> {
    let path = paths.daemon_file();
    let whereabouts = Whereabouts {
        pid: std::process::id(),
        socket: socket.to_owned(),
    };
    let text =
        serde_json::to_vec(&whereabouts).map_err(|error| DaemonError::file("write", &path)(error.into()))?;
    durable::replace(&path, 0o600, &text).map_err(DaemonError::file("write", &path))
}
