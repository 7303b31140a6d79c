//! A program run to its end, with all that it writes: bounded in bytes and time.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;

use super::{Child, Command, Stream};
use crate::{Ending, ProcessError};

/// How much a program may write, and how long it may take.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes of output. A program that writes more is ended.
    pub output: usize,
    /// Bytes of complaints that are kept: the first ones.
    pub errors: usize,
    /// Time on the clock. A program that takes longer is ended.
    pub time: Duration,
}

/// Why a program was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// It wrote more than it may.
    Output,
    /// It took longer than it may.
    Time,
}

/// A program that ran to its end.
#[derive(Clone, Debug)]
pub struct Finished {
    /// How it ended.
    pub ending: Ending,
    /// Whether it was ended for what it took.
    pub cut: Option<Cut>,
    /// What it wrote.
    pub output: Vec<u8>,
    /// What it complained of, the beginning.
    pub errors: Vec<u8>,
    /// Whether it was confined.
    pub confined: bool,
}

impl Finished {
    /// Whether it ended by itself and says that it did what it should.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.cut.is_none() && self.ending == Ending::Exited(0)
    }
}

impl Command {
    /// Runs it to its end, within bounds. `input` is what it reads, instead of what was set.
    ///
    /// # Errors
    /// It did not start, or could not be watched; nothing of it runs then.
    pub fn run(mut self, input: Option<&[u8]>, bounds: Bounds) -> Result<Finished, ProcessError> {
        if input.is_some() {
            self.input(Stream::Pipe);
        }
        self.output(Stream::Pipe).errors(Stream::Pipe);
        let program = self.program.clone();
        let mut child = self.spawn()?;
        let collected = collect(&mut child, input.unwrap_or_default(), bounds);
        collected.map_err(|source| ProcessError::Fork { program, source })
    }
}

fn collect(child: &mut Child, mut input: &[u8], bounds: Bounds) -> io::Result<Finished> {
    let until = Instant::now().checked_add(bounds.time);
    let mut finished = Finished {
        ending: Ending::Unknown,
        cut: None,
        output: Vec::new(),
        errors: Vec::new(),
        confined: child.is_confined(),
    };
    let (mut stdin, mut stdout, mut stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    for end in [
        stdin.as_ref().map(AsFd::as_fd),
        stdout.as_ref().map(AsFd::as_fd),
        stderr.as_ref().map(AsFd::as_fd),
    ] {
        end.map_or(Ok(()), without_waiting)?;
    }
    while finished.cut.is_none() {
        stdin.take_if(|_| input.is_empty());
        let mut events = Vec::new();
        events.extend(stdin.as_ref().map(|end| PollFd::new(end, PollFlags::OUT)));
        events.extend(stdout.as_ref().map(|end| PollFd::new(end, PollFlags::IN)));
        events.extend(stderr.as_ref().map(|end| PollFd::new(end, PollFlags::IN)));
        // What it started may hold its pipes open.
        let Some(process) = child.descriptor() else { break };
        events.push(PollFd::new(process, PollFlags::IN));
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let left = left.unwrap_or(Duration::from_secs(3600));
        match poll(&mut events, Some(&timespec(left))) {
            Ok(0) if until.is_some_and(|until| Instant::now() >= until) => finished.cut = Some(Cut::Time),
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let ended = events.last().is_some_and(|event| !event.revents().is_empty());
        drop(events);
        if let Some(end) = &mut stdin {
            match write_some(end, input)? {
                Some(written) => input = input.get(written..).unwrap_or_default(),
                // It wants no more.
                None => stdin = None,
            }
        }
        if let Some(end) = &mut stdout
            && !read_all(end, &mut finished.output, bounds.output.saturating_add(1))?
        {
            stdout = None;
        }
        if let Some(end) = &mut stderr
            && !read_all(end, &mut finished.errors, bounds.errors)?
        {
            stderr = None;
        }
        if finished.output.len() > bounds.output {
            finished.cut = Some(Cut::Output);
        }
        if ended {
            break;
        }
    }
    drop((stdin, stdout, stderr));
    if finished.cut.is_some() {
        child.kill();
    }
    finished.ending = child.wait()?;
    Ok(finished)
}

fn timespec(time: Duration) -> Timespec {
    Timespec {
        tv_sec: time.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: time.subsec_nanos().into(),
    }
}

fn without_waiting(end: BorrowedFd<'_>) -> io::Result<()> {
    let flags = fcntl_getfl(end)?;
    Ok(fcntl_setfl(end, flags | OFlags::NONBLOCK)?)
}

/// Writes what there is room for; `None` if nobody reads.
fn write_some(end: &mut impl Write, bytes: &[u8]) -> io::Result<Option<usize>> {
    match end.write(bytes) {
        Ok(written) => Ok(Some(written)),
        Err(error) if is_not_yet(&error) => Ok(Some(0)),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads what is there, up to `most` bytes in all; drops the rest. Whether there may be more.
fn read_all(end: &mut impl Read, into: &mut Vec<u8>, most: usize) -> io::Result<bool> {
    let mut piece = [0; 64 << 10];
    // A few pieces: the clock is looked at in between.
    for _ in 0..16 {
        match end.read(&mut piece) {
            Ok(0) => return Ok(false),
            Ok(read) => {
                let room = most.saturating_sub(into.len()).min(read);
                into.extend_from_slice(piece.get(..room).unwrap_or_default());
            }
            Err(error) if is_not_yet(&error) => return Ok(true),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

fn is_not_yet(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}
