//! The process that keeps a machine's logs. Works in the VM's folder; reads until the VMM has ended.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use rustix::fs::{OFlags, fcntl_setfl};

use super::{CONSOLE, Log, READY, VERB, VMM};

/// What is read at once; a pipe holds as much.
const CHUNK: usize = 1 << 16;
/// Pause after each read. A serial port gives a byte at a time: without it, each byte would wake this process.
const PAUSE: Duration = Duration::from_millis(10);

/// Does the work of the log keeper and gives its exit code, if this process was started as one.
///
/// Call it first of all in `main` of a program that starts machines.
#[must_use]
pub fn keep_logs_if_asked() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != VERB {
        return None;
    }
    Some(match keep_logs(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot keep the logs of the VM: {error}");
            ExitCode::FAILURE
        }
    })
}

fn keep_logs(mut arguments: impl Iterator<Item = OsString>) -> io::Result<()> {
    let mut next = |log| Ok::<_, io::Error>((inlet(arguments.next())?, Kept::begin(log)?));
    let (console, vmm) = (next(CONSOLE)?, next(VMM)?);
    io::stdout().write_all(READY.as_bytes())?;
    io::stdout().flush()?;
    thread::scope(|scope| {
        scope.spawn(|| drain(console.0, console.1));
        drain(vmm.0, vmm.1);
    });
    Ok(())
}

/// The reading end of a pipe that was passed on under a number.
fn inlet(number: Option<OsString>) -> io::Result<File> {
    let number = number.and_then(|number| number.to_str()?.parse::<u32>().ok());
    let number = number.ok_or_else(|| io::Error::other("no descriptor was given"))?;
    // A pipe that has a name is opened only once somebody writes, and its writer may have ended by now.
    let pipe = File::options()
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(format!("/proc/self/fd/{number}"))?;
    fcntl_setfl(&pipe, OFlags::empty())?;
    Ok(pipe)
}

/// Reads to the end, whatever becomes of what was read: a writer must never wait for a full disk.
fn drain(mut from: impl Read, mut to: Kept) {
    let mut chunk = vec![0; CHUNK];
    loop {
        match from.read(&mut chunk) {
            Ok(0) => return,
            Ok(length) => to.add(&chunk[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
        thread::sleep(PAUSE);
    }
}

/// A log that is being written.
struct Kept {
    log: Log,
    file: File,
    length: u64,
}

impl Kept {
    /// Begins anew: a log tells of one run of the machine.
    fn begin(log: Log) -> io::Result<Self> {
        for name in [log.name, log.older] {
            match fs::remove_file(name) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(Self {
            log,
            file: create(log.name)?,
            length: 0,
        })
    }

    fn add(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.length == self.log.limit {
                self.turn_over();
            }
            // To the limit exactly: the older file is always a full one.
            let room = usize::try_from(self.log.limit - self.length).unwrap_or(usize::MAX);
            let (now, rest) = bytes.split_at(room.min(bytes.len()));
            // Counted whether it could be written or not; a short write must not let the file outgrow its limit.
            self.length += now.len() as u64;
            let _ = self.file.write_all(now);
            bytes = rest;
        }
    }

    /// Makes the file the older one and begins another.
    fn turn_over(&mut self) {
        self.length = 0;
        let renamed = fs::rename(self.log.name, self.log.older).and_then(|()| create(self.log.name));
        match renamed {
            Ok(file) => self.file = file,
            // The folder may be gone. The file is in append mode, so it starts again at its beginning.
            Err(_) => drop(self.file.set_len(0)),
        }
    }
}

fn create(name: &str) -> io::Result<File> {
    File::options()
        .append(true)
        .create_new(true)
        .mode(0o600)
        .open(name)
}
