//! Connecting to the daemon's Unix socket, however long its path is, and only if folder and listener are trusted.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, statat};
use tokio::net::UnixStream;

use super::ClientError;
use super::trust::{FolderError, Trust};

/// Longest path of a Unix socket in bytes (`unix(7)`: 108 with the closing zero).
const LONGEST: usize = 107;

/// Connects to a socket whose folder and listener are trusted.
///
/// # Errors
/// [`ClientError::Unreachable`], [`ClientError::UnsafeFolder`], [`ClientError::ForeignDaemon`]; nothing was sent.
pub async fn connect(socket: &Path) -> Result<UnixStream, ClientError> {
    let unreachable = |source| ClientError::Unreachable {
        socket: socket.to_owned(),
        source,
    };
    let trust = Trust::of_process();
    let (Some(folder), Some(name)) = (folder_of(socket), socket.file_name()) else {
        return Err(unreachable(io::ErrorKind::InvalidInput.into()));
    };
    let folder = trust.open_folder(folder).map_err(|error| match error {
        FolderError::Open { source, .. } => unreachable(source),
        fault => ClientError::UnsafeFolder {
            socket: socket.to_owned(),
            fault,
        },
    })?;
    let found =
        statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW).map_err(|error| unreachable(error.into()))?;
    if FileType::from_raw_mode(found.st_mode) != FileType::Socket {
        return Err(unreachable(io::Error::other("it is no socket")));
    }
    let stream = UnixStream::connect(through(&folder, name))
        .await
        .map_err(unreachable)?;
    let owner = stream.peer_cred().map_err(unreachable)?.uid();
    if !trust.admits(owner) {
        return Err(ClientError::ForeignDaemon {
            socket: socket.to_owned(),
            owner,
        });
    }
    Ok(stream)
}

/// The folder of a socket; of a bare name, the current one.
fn folder_of(socket: &Path) -> Option<&Path> {
    let folder = socket.parent()?;
    Some(if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    })
}

/// A path through an open folder: short, and not to be led elsewhere.
fn through(folder: &OwnedFd, name: &OsStr) -> PathBuf {
    Path::new("/proc/self/fd")
        .join(folder.as_raw_fd().to_string())
        .join(name)
}

/// A path to the same socket that is short enough for the kernel, and the folder that it leads through, which has to
/// stay open for as long as the path is used.
///
/// # Errors
/// The folder cannot be opened, or the path has none.
pub fn short_path(path: &Path) -> io::Result<(PathBuf, Option<OwnedFd>)> {
    if path.as_os_str().len() <= LONGEST {
        return Ok((path.to_owned(), None));
    }
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let open = rustix::fs::open(
        folder,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    Ok((through(&open, name), Some(open)))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    use std::time::Duration;

    use tokio::net::UnixListener;

    use super::*;

    #[tokio::test]
    async fn a_socket_is_reached_however_long_its_path_is() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("d".repeat(120)).join("e".repeat(120));
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .unwrap();
        let path = folder.join("bangerd.sock");
        let (short, open) = short_path(&path).unwrap();
        let listener = UnixListener::bind(short).unwrap();
        drop(open);
        let (connected, accepted) = tokio::join!(connect(&path), listener.accept());
        connected.unwrap();
        accepted.unwrap();
    }

    #[tokio::test]
    async fn nobody_there_is_said_with_the_path_as_it_was_given() {
        for path in [
            "/nowhere/at/all.sock".to_owned(),
            format!("/nowhere/{}.sock", "x".repeat(200)),
        ] {
            let error = connect(Path::new(&path)).await.unwrap_err();
            assert!(matches!(error, ClientError::Unreachable { .. }), "{error:?}");
            assert!(error.to_string().contains(&path), "{error}");
        }
    }

    #[tokio::test]
    async fn a_socket_in_a_folder_that_others_can_change_gets_nothing() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("run");
        std::fs::create_dir(&folder).unwrap();
        let socket = folder.join("bangerd.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let mode = |bits| std::fs::set_permissions(&folder, Permissions::from_mode(bits)).unwrap();
        for open in [0o777, 0o770, 0o720, 0o702, 0o1777] {
            mode(open);
            let error = connect(&socket).await.unwrap_err();
            assert!(
                matches!(error, ClientError::UnsafeFolder { .. }),
                "{open:o}: {error:?}"
            );
            assert!(error.to_string().contains(socket.to_str().unwrap()), "{error}");
        }
        mode(0o700);
        let (connected, accepted) = tokio::join!(connect(&socket), listener.accept());
        connected.unwrap();
        accepted.unwrap();
        let nobody_else = tokio::time::timeout(Duration::from_millis(20), listener.accept()).await;
        assert!(nobody_else.is_err(), "a refused socket is not even connected to");
    }

    #[tokio::test]
    async fn what_is_no_socket_or_a_link_to_one_is_not_connected_to() {
        let root = tempfile::tempdir().unwrap();
        let _listener = UnixListener::bind(root.path().join("real.sock")).unwrap();
        std::os::unix::fs::symlink("real.sock", root.path().join("link.sock")).unwrap();
        std::fs::write(root.path().join("file.sock"), "").unwrap();
        for name in ["link.sock", "file.sock"] {
            let error = connect(&root.path().join(name)).await.unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
            assert!(matches!(error, ClientError::Unreachable { .. }), "{error:?}");
        }
        connect(&root.path().join("real.sock")).await.unwrap();
    }
}
