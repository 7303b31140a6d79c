//! A VM's folder, held open: its sockets are reached through it however long its path is.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::VmmError;

/// Longest path of a Unix socket in bytes: `sun_path` less its zero byte (`unix(7)`).
const LONGEST_SOCKET: usize = 107;
/// How soon a lock is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(1);
/// Connections that wait until the VMM takes them.
const BACKLOG: i32 = 4;

/// An open folder.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    descriptor: OwnedFd,
}

impl Folder {
    /// Opens the folder.
    pub(crate) fn open(path: &Path) -> Result<Self, VmmError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(descriptor) => Ok(Self {
                path: path.to_owned(),
                descriptor,
            }),
            Err(error) => Err(VmmError::File {
                action: "open",
                path: path.to_owned(),
                source: error.into(),
            }),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until the keeper has read all that the VMM of this folder said, and is gone from it.
    pub(crate) async fn until_logs_are_kept(&self) {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        // Opened anew, since a lock belongs to what was opened; by this descriptor, since the folder may have moved.
        let Ok(look) = rustix::fs::openat(&self.descriptor, ".", flags, Mode::empty()) else {
            return;
        };
        while let Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) =
            rustix::fs::flock(&look, FlockOperation::NonBlockingLockShared)
        {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// A number that no other folder of the same file system has, as far as it fits.
    pub(crate) fn number(&self) -> Result<u32, VmmError> {
        let found =
            rustix::fs::fstat(&self.descriptor).map_err(|error| self.error("look at", "", error.into()))?;
        Ok((found.st_ino % u64::from(u32::MAX)) as u32)
    }

    /// Takes everyone's rights but the owner's away.
    pub(crate) fn close_to_others(&self) -> Result<(), VmmError> {
        rustix::fs::fchmod(&self.descriptor, Mode::RWXU)
            .map_err(|error| self.error("protect", "", error.into()))
    }

    /// A path that a socket of this folder can be connected by. Holds as long as this value lives.
    pub(crate) fn socket(&self, name: &str) -> PathBuf {
        let plain = self.path.join(name);
        if plain.as_os_str().as_bytes().len() <= LONGEST_SOCKET {
            return plain;
        }
        let (process, descriptor) = (std::process::id(), self.descriptor.as_raw_fd());
        PathBuf::from(format!("/proc/{process}/fd/{descriptor}/{name}"))
    }

    /// A new listening socket of mode 0600 in the place of what has that name.
    ///
    /// Made here and handed to the VMM, so that a connection is possible from the first moment and waits until it
    /// is taken: nobody has to look again and again whether the VMM has got so far.
    pub(crate) fn listen(&self, name: &str) -> Result<OwnedFd, VmmError> {
        self.remove(name)?;
        let listening = || -> rustix::io::Result<OwnedFd> {
            let address = SocketAddrUnix::new(self.socket(name))?;
            let socket = rustix::net::socket_with(
                AddressFamily::UNIX,
                SocketType::STREAM,
                SocketFlags::CLOEXEC,
                None,
            )?;
            // Before it has a name: there is no moment in which others could connect.
            rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
            rustix::net::bind(&socket, &address)?;
            rustix::net::listen(&socket, BACKLOG)?;
            Ok(socket)
        };
        listening().map_err(|error| self.error("listen on", name, error.into()))
    }

    /// A new folder for its owner alone, in the place of all that has that name.
    pub(crate) fn make_folder(&self, name: &str) -> Result<PathBuf, VmmError> {
        self.remove_all(name)?;
        rustix::fs::mkdirat(&self.descriptor, name, Mode::RWXU)
            .map_err(|error| self.error("make", name, error.into()))?;
        Ok(self.path.join(name))
    }

    /// A pipe with a name, in both its ends: to read from, and to write to.
    pub(crate) fn make_pipe(&self, name: &str) -> Result<(OwnedFd, OwnedFd), VmmError> {
        let made = || -> rustix::io::Result<_> {
            let mode = Mode::RUSR | Mode::WUSR;
            rustix::fs::mknodat(&self.descriptor, name, FileType::Fifo, mode, 0)?;
            let open = |flags| {
                let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                rustix::fs::openat(&self.descriptor, name, flags, Mode::empty())
            };
            // Neither waits for the other end: the first is told not to, and for the second it is there.
            Ok((open(OFlags::RDONLY | OFlags::NONBLOCK)?, open(OFlags::WRONLY)?))
        };
        made().map_err(|error| self.error("make", name, error.into()))
    }

    /// Removes a folder and all in it, or a link; what a link leads to stays. Fine if there is none.
    pub(crate) fn remove_all(&self, name: &str) -> Result<(), VmmError> {
        let path = self.path.join(name);
        let removed = match path.symlink_metadata() {
            Ok(found) if found.is_dir() => std::fs::remove_dir_all(&path),
            Ok(_) => std::fs::remove_file(&path),
            Err(error) => Err(error),
        };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.error("remove", name, error)),
            _ => Ok(()),
        }
    }

    /// Removes a file. Fine if there is none.
    pub(crate) fn remove(&self, name: &str) -> Result<(), VmmError> {
        match rustix::fs::unlinkat(&self.descriptor, name, AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(error) => Err(self.error("remove", name, error.into())),
        }
    }

    fn error(&self, action: &'static str, name: &str, source: io::Error) -> VmmError {
        VmmError::File {
            action,
            path: self.path.join(name),
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_socket_in_a_folder_of_any_depth_is_connected_by_the_path_handed_out() {
        let root = tempfile::tempdir().unwrap();
        for depth in ["short".to_owned(), "long/".repeat(60)] {
            let path = root.path().join(depth);
            fs::create_dir_all(&path).unwrap();
            let folder = Folder::open(&path).unwrap();
            let _listening = folder.listen("agent.sock").unwrap();
            UnixStream::connect(folder.socket("agent.sock")).unwrap();
            let mode = fs::metadata(path.join("agent.sock"))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn what_an_earlier_machine_left_is_replaced() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(root.path()).unwrap();
        drop(folder.listen("agent.sock").unwrap());
        let _listening = folder.listen("agent.sock").unwrap();
        UnixStream::connect(folder.socket("agent.sock")).unwrap();
        folder.remove("agent.sock").unwrap();
        folder.remove("agent.sock").unwrap();
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }
}
