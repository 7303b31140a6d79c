//! What passt says while it starts, kept in memory: later it writes to a log file that it bounds itself.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use rustix::fs::MemfdFlags;

/// More than passt says in a start; of more, the end is read.
const LARGEST: usize = 16 << 10;
/// A longer line is cut.
const LONGEST_LINE: usize = 300;

/// Takes messages; readable at any time.
#[derive(Debug)]
pub(crate) struct Messages(File);

impl Messages {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(
            rustix::fs::memfd_create("passt-messages", MemfdFlags::CLOEXEC)?.into(),
        ))
    }

    /// Where they are written to.
    pub(crate) fn writer(&self) -> io::Result<OwnedFd> {
        Ok(self.0.try_clone()?.into())
    }

    /// The last that was said, as one line.
    pub(crate) fn last(&self) -> String {
        let mut text = vec![0; LARGEST];
        let end = self.0.metadata().map_or(0, |metadata| metadata.len());
        let read = self
            .0
            .read_at(&mut text, end.saturating_sub(LARGEST as u64))
            .unwrap_or(0);
        text.truncate(read);
        last_line(&String::from_utf8_lossy(&text))
    }
}

/// The line that says most about a failure.
fn last_line(text: &str) -> String {
    let lines: Vec<_> = text
        .lines()
        // A usage message says nothing that the line above it does not.
        .take_while(|line| !line.starts_with("Usage:"))
        .map(str::trim)
        // Without a system logger, passt puts such a line after each of its own.
        .filter(|line| !line.is_empty() && !line.ends_with("bytes to syslog"))
        .collect();
    let mut lines = lines.into_iter().rev();
    let last = lines.next().unwrap_or("it said nothing");
    let line = match lines.next() {
        // What failed stands in the line before this one.
        Some(before) if last.ends_with("exiting") => format!("{before}: {last}"),
        _ => last.to_owned(),
    };
    line.chars()
        .filter(|char| !char.is_control())
        .take(LONGEST_LINE)
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_line_that_tells_is_found() {
        for (text, expected) in [
            ("", "it said nothing"),
            ("a\nb\n", "b"),
            (
                "Couldn't create user namespace: x\nFailed to send 48 bytes to syslog\n\n",
                "Couldn't create user namespace: x",
            ),
            (
                "unshare: No\nFailed to sandbox process, exiting\n",
                "unshare: No: Failed to sandbox process, exiting",
            ),
            (
                "passt: unrecognized option '--x'\nUsage: passt [OPTION]...\n\n  default: none\n",
                "passt: unrecognized option '--x'",
            ),
            ("a\u{1b}[31m\u{7}b", "a[31mb"),
        ] {
            assert_eq!(last_line(text), expected);
        }
    }

    proptest! {
        #[test]
        fn whatever_is_said_becomes_one_bounded_line(text: String) {
            let line = last_line(&text);
            prop_assert!(!line.contains(['\n', '\r']) && line.chars().count() <= LONGEST_LINE);
        }
    }
}
