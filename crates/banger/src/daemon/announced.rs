//! The socket that the daemon's file in the state folder names. The folder is held to the daemon's own rules before a
//! word of the file is believed: whose it is, and that others cannot write there.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use config::Paths;
use rustix::fs::OFlags;
use serde::Deserialize;

use super::paths_failure;
use crate::failure::Failure;

/// Largest daemon file.
const LARGEST_FILE: u64 = 64 << 10;

/// What `bangerd` leaves beside its state.
#[derive(Deserialize)]
struct DaemonFile {
    socket: PathBuf,
}

/// The socket; `None` where no daemon has left word of one.
///
/// # Errors
/// Folder or file belong to another user, or others can write there.
pub fn socket(paths: &Paths) -> Result<Option<PathBuf>, Failure> {
    if !paths.check_state().map_err(|error| paths_failure(&error))? {
        return Ok(None);
    }
    socket_in(&paths.daemon_file(), paths.uid())
}

/// No file, or one that makes no sense (a link, a device, too long, no JSON), means no daemon: the next one replaces it.
fn socket_in(path: &Path, uid: u32) -> Result<Option<PathBuf>, Failure> {
    let Ok((file, owner)) = open(path) else {
        return Ok(None);
    };
    if owner != uid {
        return Err(Failure::new(format!(
            "cannot find the daemon: {} belongs to uid {owner}, not to uid {uid}",
            path.display()
        ))
        .with_hint(format!("find out who made {} and remove it", path.display())));
    }
    let mut text = String::new();
    if file.take(LARGEST_FILE).read_to_string(&mut text).is_err() {
        return Ok(None);
    }
    let socket = serde_json::from_str(&text).map(|file: DaemonFile| file.socket);
    Ok(socket.ok().filter(|socket| socket.is_absolute()))
}

/// A plain file and its owner.
fn open(path: &Path) -> io::Result<(File, u32)> {
    // Without `NONBLOCK`, a pipe in the file's place would be waited for.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok((file, metadata.uid()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn uid() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    #[test]
    fn a_daemon_file_that_makes_no_sense_means_no_daemon() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bangerd.json");
        assert_eq!(socket_in(&file, uid()).unwrap(), None);
        let long = format!(
            "{{\"socket\": \"/run/x.sock\", \"more\": \"{}\"}}",
            "x".repeat(65_536)
        );
        for (text, socket) in [
            ("", None),
            ("{\"pid\": 1}", None),
            ("{\"pid\": 1, \"socket\": \"relative\"}", None),
            (long.as_str(), None),
            (
                "{\"pid\": 1, \"socket\": \"/run/x.sock\", \"more\": true}",
                Some("/run/x.sock"),
            ),
        ] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(socket_in(&file, uid()).unwrap(), socket.map(PathBuf::from));
        }
    }

    #[test]
    fn a_link_a_pipe_or_a_folder_in_the_daemon_files_place_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("real"), "{\"socket\": \"/run/x.sock\"}").unwrap();
        symlink("real", at("link")).unwrap();
        std::fs::create_dir(at("folder")).unwrap();
        testkit::make_fifo(at("pipe"));
        for name in ["link", "pipe", "folder"] {
            assert_eq!(socket_in(&at(name), uid()).unwrap(), None, "{name}");
        }
        assert!(socket_in(&at("real"), uid()).unwrap().is_some());
    }

    #[test]
    fn a_daemon_file_of_another_user_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bangerd.json");
        std::fs::write(&file, "{\"socket\": \"/run/x.sock\"}").unwrap();
        let failure = socket_in(&file, uid() + 1).unwrap_err();
        assert!(failure.message().contains(&format!("belongs to uid {}", uid())));
    }
}
