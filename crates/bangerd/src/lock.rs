//! One daemon a state directory.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use config::Paths;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::DaemonError;

/// How long to wait for another daemon that holds the lock and does not answer yet.
const OTHER: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(20);

/// Largest `bangerd.json`.
const LARGEST_FILE: u64 = 64 << 10;

/// What `bangerd.json` in the state directory says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Whereabouts {
    pub(crate) pid: u32,
    pub(crate) socket: PathBuf,
}

/// How the race for the lock ended.
pub(crate) enum Turn {
    /// It is ours for as long as the file is open.
    Ours(File),
    /// Another daemon has it and answers here.
    Other(PathBuf),
}

/// Takes the lock, or finds the daemon that has it.
pub(crate) async fn take_turn(paths: &Paths) -> Result<Turn, DaemonError> {
    let path = paths.daemon_lock();
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
        .open(&path)
        .map_err(DaemonError::file("open", &path))?;
    let since = Instant::now();
    loop {
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            return Ok(Turn::Ours(file));
        }
        if let Some(socket) = answering(paths).await {
            return Ok(Turn::Other(socket));
        }
        if since.elapsed() > OTHER {
            return Err(DaemonError::Locked {
                lock: path,
                waited: OTHER,
            });
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The socket of the daemon that the state directory tells of, if it answers and is one that clients trust.
async fn answering(paths: &Paths) -> Option<PathBuf> {
    let mut text = Vec::new();
    let file = File::open(paths.daemon_file()).ok()?;
    file.take(LARGEST_FILE).read_to_end(&mut text).ok()?;
    let whereabouts: Whereabouts = serde_json::from_slice(&text).ok()?;
    api::client::connect(&whereabouts.socket).await.ok()?;
    Some(whereabouts.socket)
}
