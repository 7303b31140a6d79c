//! The daemon's log: a file in the state directory, bounded.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::DaemonError;

/// Size at which the log is turned: the last one is kept as `….1`.
const LARGEST: u64 = 4 << 20;

/// Sends the log to `file`, or to standard error where the daemon was started by hand.
///
/// # Errors
/// The file cannot be opened, or a logger runs already.
pub fn start_logging(level: &str, file: &Path, to_file: bool) -> Result<(), DaemonError> {
    let filter = EnvFilter::new(format!(
        "warn,bangerd={level},engine={level},vmm={level},net={level},guest={level}"
    ));
    let registry = tracing_subscriber::registry().with(filter);
    let started = if to_file {
        let turning = Turning::open(file.to_owned()).map_err(DaemonError::file("open", file))?;
        let layer = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .with_writer(Mutex::new(turning));
        registry.with(layer).try_init()
    } else {
        registry
            .with(tracing_subscriber::fmt::layer().with_writer(io::stderr))
            .try_init()
    };
    started.map_err(|_| DaemonError::Logger)
}

/// A file that starts anew when it has grown large.
#[derive(Debug)]
struct Turning {
    path: PathBuf,
    file: File,
    size: u64,
}

impl Turning {
    fn open(path: PathBuf) -> io::Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
            .open(&path)?;
        let size = file.metadata()?.len();
        Ok(Self { path, file, size })
    }

    fn turn(&mut self) -> io::Result<()> {
        let mut old = self.path.clone().into_os_string();
        old.push(".1");
        fs::rename(&self.path, old)?;
        *self = Self::open(self.path.clone())?;
        Ok(())
    }
}

impl Write for Turning {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.size >= LARGEST
            && let Err(error) = self.turn()
        {
            // A log that cannot be turned goes on where it is.
            let _ = writeln!(self.file, "cannot turn the log: {error}");
            self.size = 0;
        }
        let written = self.file.write(bytes)?;
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_turned_when_it_is_large_and_stays_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log = Turning::open(path.clone()).unwrap();
        let line = vec![b'x'; 1 << 20];
        for _ in 0..11 {
            log.write_all(&line).unwrap();
        }
        let size = |path: &Path| fs::metadata(path).unwrap().len();
        assert_eq!(size(&path), 3 << 20);
        assert_eq!(size(&folder.path().join("log.1")), LARGEST);
    }
}
