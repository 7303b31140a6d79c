//! The thread that forks programs which end with this process: the system ties such a program's life to the thread that
//! forked it, so that is one that never ends.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::{OnceLock, mpsc};
use std::thread;

use crate::ProcessError;
use crate::fork::{Failure, Image, fork};

type Job = Box<dyn FnOnce() + Send>;

/// Starts a program; gives its pid and a descriptor of it.
pub(crate) fn start(image: Image, program: &Path) -> Result<(u32, OwnedFd), ProcessError> {
    let cannot_fork = |source| ProcessError::Fork {
        program: program.to_owned(),
        source,
    };
    let (answer, answered) = mpsc::channel();
    let job: Job = Box::new(move || {
        // Its receiver waits for it.
        let _ = answer.send(started(&image));
    });
    let gone = || io::Error::other("the thread that starts programs is gone");
    let sender = starter().map_err(cannot_fork)?;
    sender.send(job).map_err(|_| cannot_fork(gone()))?;
    match answered.recv() {
        Ok(Ok(started)) => Ok(started),
        Ok(Err((failure, executing))) => Err(failure.of(program, executing)),
        Err(_) => Err(cannot_fork(gone())),
    }
}

/// The failure, and whether it is of the program rather than of the process.
fn started(image: &Image) -> Result<(u32, OwnedFd), (Failure, bool)> {
    let waiting = fork(image).map_err(|failure| (failure, false))?;
    let pid = waiting.pid();
    let descriptor = waiting.release().map_err(|failure| (failure, true))?;
    Ok((pid, descriptor))
}

fn starter() -> io::Result<&'static mpsc::Sender<Job>> {
    static STARTER: OnceLock<Result<mpsc::Sender<Job>, io::ErrorKind>> = OnceLock::new();
    let started = STARTER.get_or_init(|| {
        let (sender, jobs) = mpsc::channel::<Job>();
        let work = move || jobs.into_iter().for_each(|job| job());
        let thread = thread::Builder::new().name("starter".into()).spawn(work);
        thread.map(|_| sender).map_err(|error| error.kind())
    });
    started.as_ref().map_err(|kind| (*kind).into())
}

/// Whether one of these would be overwritten by the child's standard descriptors.
pub(crate) fn any_is_standard<'a>(descriptors: impl IntoIterator<Item = &'a OwnedFd>) -> bool {
    descriptors
        .into_iter()
        .any(|descriptor| descriptor.as_raw_fd() < 3)
}

/// A name and a value, as the system takes them.
pub(crate) fn pair(name: &std::ffi::OsStr, value: &std::ffi::OsStr) -> Result<CString, ProcessError> {
    let mut pair = name.to_owned();
    pair.push("=");
    pair.push(value);
    crate::launch::c_string(&pair)
}
