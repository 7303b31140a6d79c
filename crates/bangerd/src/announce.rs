//! The one line that tells whoever started the daemon that it answers.

use std::io::{self, Write};
use std::path::Path;

/// A pending announcement on standard output.
#[derive(Debug)]
pub struct Announcement {
    wanted: bool,
}

impl Announcement {
    /// An announcement, if one is wanted.
    #[must_use]
    pub fn new(wanted: bool) -> Self {
        Self { wanted }
    }

    /// Writes `ready SOCKET` and lets go of standard output, so that the reader sees its end.
    pub(crate) fn ready(&self, socket: &Path) -> io::Result<()> {
        if !self.wanted {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        writeln!(out, "ready {}", socket.display())?;
        out.flush()?;
        let null = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/null")?;
        rustix::stdio::dup2_stdout(&null)?;
        rustix::stdio::dup2_stderr(&null)?;
        Ok(())
    }
}
