//! Connecting to the daemon's Unix socket, wherever it lies and only if it is the caller's to talk to.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use tokio::net::UnixStream;

use super::ClientError;

/// Longest path of a Unix socket in bytes (`unix(7)`: 108 with the closing zero).
const LONGEST: usize = 107;

/// Connects to the socket.
pub(super) async fn connect(socket: &Path) -> Result<UnixStream, ClientError> {
    let unreachable = |source| ClientError::Unreachable {
        socket: socket.to_owned(),
        source,
    };
    let (short, _open) = short_path(socket).map_err(unreachable)?;
    let stream = UnixStream::connect(short).await.map_err(unreachable)?;
    let owner = stream.peer_cred().map_err(unreachable)?.uid();
    if !is_trusted(owner, rustix::process::geteuid().as_raw()) {
        return Err(ClientError::ForeignDaemon {
            socket: socket.to_owned(),
            owner,
        });
    }
    Ok(stream)
}

/// Whether a caller may hand its commands to a daemon of `owner`. A socket's path may lie where others can make one,
/// such as below `/tmp`. Root can do to others what it likes; root's daemon could do so to the caller without asking.
fn is_trusted(owner: u32, caller: u32) -> bool {
    owner == caller || owner == 0 || caller == 0
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
    let short = Path::new("/proc/self/fd")
        .join(open.as_raw_fd().to_string())
        .join(name);
    Ok((short, Some(open)))
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixListener;

    use super::*;

    #[tokio::test]
    async fn a_socket_is_reached_however_long_its_path_is() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("d".repeat(120)).join("e".repeat(120));
        std::fs::create_dir_all(&folder).unwrap();
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

    #[test]
    fn a_daemon_of_another_user_is_not_trusted() {
        for (owner, caller, trusted) in [
            (1000, 1000, true),
            (1001, 1000, false),
            (0, 1000, true),
            (1000, 0, true),
            (0, 0, true),
        ] {
            assert_eq!(
                is_trusted(owner, caller),
                trusted,
                "{owner}'s daemon, {caller} calls"
            );
        }
    }
}
