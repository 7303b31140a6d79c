//! What a program writes to standard error, line by line, until the program has ended or taken too long.

use std::io::{self, BufRead, PipeReader, Read};
use std::time::{Duration, Instant};

use process::Ending;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{Killer, TICK};

/// Bytes of a line that are kept.
const KEPT_LINE: u64 = 4096;

/// A program's complaints, which end when they do, or it does.
pub(super) struct Watched<'a> {
    pub(super) reader: Option<PipeReader>,
    pub(super) killer: &'a Killer,
    pub(super) until: Option<Instant>,
    /// It was ended since it took too long.
    pub(super) late: bool,
    pub(super) ending: Option<Ending>,
}

impl Watched<'_> {
    /// Waits so long for the end of the program, and ends it where it has taken too long.
    pub(super) fn look(&mut self, time: Duration) -> io::Result<Option<Ending>> {
        if self.ending.is_none() {
            let mut child = self.killer.child();
            if self.until.is_some_and(|until| Instant::now() >= until) {
                child.kill();
                self.late = true;
                self.until = None;
            }
            self.ending = child.wait_for(time)?;
        }
        Ok(self.ending)
    }
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(reader) = &mut self.reader {
            if self.until.is_some_and(|until| Instant::now() >= until) {
                self.look(Duration::ZERO)?;
                continue;
            }
            let tick = Timespec {
                tv_sec: 0,
                tv_nsec: TICK.subsec_nanos().into(),
            };
            match poll(&mut [PollFd::new(reader, PollFlags::IN)], Some(&tick)) {
                Err(rustix::io::Errno::INTR) => {}
                Ok(0) => {
                    // What is left in the pipe is read before the end is believed.
                    if self.ending.is_some() {
                        self.reader = None;
                    }
                    self.look(Duration::ZERO)?;
                }
                ready => {
                    ready?;
                    return reader.read(buffer);
                }
            }
        }
        Ok(0)
    }
}

/// Calls `line` for each line; a very long one is cut.
pub(super) fn read_lines(mut reader: impl BufRead, mut line: impl FnMut(&str)) -> io::Result<()> {
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        let mut limited = reader.by_ref().take(KEPT_LINE);
        if limited.read_until(b'\n', &mut bytes)? == 0 {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&bytes);
        // Terminal sequences in it must not reach a terminal.
        let text: String = text
            .trim_end()
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        if !text.is_empty() {
            line(&text);
        }
    }
}
