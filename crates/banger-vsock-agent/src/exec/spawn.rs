//! The steps of a new process between fork and exec: group, session, terminal, user, folder.
#![expect(
    unsafe_code,
    reason = "code that runs between fork and exec has to be vouched for"
)]

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::sync::{Arc, LazyLock};

use nix::libc;
use rustix::io::Errno;
use rustix::process::{Gid, Resource, Rlimit, Signal, Uid, setrlimit};
use tokio::process::{Child, Command};

/// What the new process takes on before it becomes the command.
#[derive(Debug)]
pub(super) struct Entry {
    /// The cgroup's list of processes, open for writing.
    pub(super) cgroup: Option<Arc<File>>,
    /// Whether its standard output is to be its controlling terminal.
    pub(super) terminal: bool,
    /// User, group, supplementary groups; none to stay who the agent is.
    pub(super) credentials: Option<(u32, u32, Vec<u32>)>,
    /// Folder to work in.
    pub(super) workdir: CString,
    /// Whether `/` does where the folder cannot be entered.
    pub(super) workdir_optional: bool,
    /// Limits of open files other than the agent's own.
    pub(super) open_files: Option<Rlimit>,
    /// Whether it dies with the agent.
    pub(super) ends_with_agent: bool,
}

/// A step that the process takes before it becomes the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub(super) enum Step {
    /// Entering the cgroup.
    Cgroup = 1,
    /// Its own session, and the terminal that controls it.
    Session,
    /// Becoming the user.
    User,
    /// Entering the folder.
    Workdir,
}

/// A process that did not become the command.
#[derive(Debug)]
pub(super) struct NotStarted {
    /// Where it failed; none: in the exec itself, or before the fork.
    pub(super) step: Option<Step>,
    /// What with.
    pub(super) cause: io::Error,
}

/// Where the number of a step is in what a new process fails with; below it is the kernel's error, at most 4095.
const STEP: u32 = 16;

/// Starts `command` by way of `entry`.
pub(super) fn spawn(mut command: Command, entry: Entry) -> Result<Child, NotStarted> {
    let ignored = &*IGNORED;
    let enter = move || {
        entry.enter(ignored).map_err(|(step, error)| {
            // The standard library carries one number from there to here.
            io::Error::from_raw_os_error(((step as i32) << STEP) | error.raw_os_error())
        })
    };
    // SAFETY: the closure makes system calls only; it allocates and locks nothing, so that it may run in the one
    // thread that a fork leaves of the agent.
    unsafe { command.pre_exec(enter) };
    command.spawn().map_err(NotStarted::decode)
}

impl NotStarted {
    fn decode(cause: io::Error) -> Self {
        let Some(number) = cause.raw_os_error() else {
            return Self { step: None, cause };
        };
        let step = [Step::Cgroup, Step::Session, Step::User, Step::Workdir]
            .into_iter()
            .find(|step| *step as i32 == number >> STEP);
        let cause = io::Error::from_raw_os_error(number & ((1 << STEP) - 1));
        Self { step, cause }
    }
}

impl Entry {
    /// Runs in the new process. No allocation, no locks.
    fn enter(&self, ignored: &[i32]) -> Result<(), (Step, Errno)> {
        let at = |step: Step| move |error: Errno| (step, error);
        reset_signals(ignored);
        if self.ends_with_agent {
            // SAFETY-free wrapper; a failure only means that the process may outlive the agent.
            let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
        }
        if !self.ends_with_agent {
            expose_to_oom_killer();
        }
        if let Some(cgroup) = &self.cgroup {
            rustix::io::write(&**cgroup, b"0\n").map_err(at(Step::Cgroup))?;
        }
        if let Some(limit) = &self.open_files {
            // As the agent's own were: best effort.
            let _ = setrlimit(Resource::Nofile, *limit);
        }
        rustix::process::setsid().map_err(at(Step::Session))?;
        if self.terminal {
            rustix::process::ioctl_tiocsctty(rustix::stdio::stdout()).map_err(at(Step::Session))?;
        }
        if let Some((uid, gid, groups)) = &self.credentials {
            become_user(*uid, *gid, groups).map_err(|error| (Step::User, error))?;
        }
        match rustix::process::chdir(&*self.workdir) {
            Err(_) if self.workdir_optional => rustix::process::chdir(c"/"),
            result => result,
        }
        .map_err(at(Step::Workdir))?;
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
        Ok(())
    }
}

/// Takes back what the agent has for itself: a command that fills the memory is the one to end.
fn expose_to_oom_killer() {
    let flags = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::CLOEXEC;
    let setting = rustix::fs::open(c"/proc/self/oom_score_adj", flags, rustix::fs::Mode::empty());
    // An image may have hidden /proc; the command is none the worse for it.
    if let Ok(setting) = setting {
        let _ = rustix::io::write(&setting, b"0\n");
    }
}

/// For the one thread that there is between fork and exec; the C library's own would look for the other threads.
fn become_user(uid: u32, gid: u32, groups: &[u32]) -> Result<(), Errno> {
    // SAFETY: `groups` is an array of `gid_t` of that length; the kernel only reads it.
    let result = unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) };
    if result != 0 {
        return Err(Errno::from_raw_os_error(nix::errno::Errno::last_raw()));
    }
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    Ok(())
}

/// Signals that are ignored in this process: the only ones that an exec does not set back.
static IGNORED: LazyLock<Vec<i32>> =
    LazyLock::new(|| (1..=64).filter(|signal| is_ignored(*signal)).collect());

fn is_ignored(signal: i32) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: asks only; the C library fills in `action`, which is as large as it expects, or refuses.
    let asked = unsafe { libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) };
    // SAFETY: all zeroes are a `sigaction` too.
    asked == 0 && unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN
}

/// What the agent ignores, and what was ignored when it was started, is nothing to the command.
fn reset_signals(ignored: &[i32]) {
    for signal in ignored {
        // SAFETY: setting the default action touches no memory of this program.
        unsafe { libc::signal(*signal, libc::SIG_DFL) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(entry: Entry) -> NotStarted {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let _entered = runtime.enter();
        let mut command = Command::new("/bin/true");
        command.stdout(std::process::Stdio::null());
        spawn(command, entry).unwrap_err()
    }

    fn entry() -> Entry {
        Entry {
            cgroup: None,
            terminal: false,
            credentials: None,
            workdir: c"/".to_owned(),
            workdir_optional: false,
            open_files: None,
            ends_with_agent: true,
        }
    }

    #[test]
    fn a_step_that_fails_is_named_with_its_cause() {
        let read_only = File::open("/dev/null").unwrap();
        for (entry, step, cause) in [
            (
                Entry {
                    workdir: c"/nosuch".to_owned(),
                    ..entry()
                },
                Some(Step::Workdir),
                Errno::NOENT,
            ),
            (
                Entry {
                    cgroup: Some(Arc::new(read_only)),
                    ..entry()
                },
                Some(Step::Cgroup),
                Errno::BADF,
            ),
            // Its standard output is none.
            (
                Entry {
                    terminal: true,
                    ..entry()
                },
                Some(Step::Session),
                Errno::NOTTY,
            ),
        ] {
            let failure = failure(entry);
            assert_eq!(failure.step, step, "{failure:?}");
            assert_eq!(failure.cause.raw_os_error(), Some(cause.raw_os_error()));
        }
        let exec = NotStarted::decode(io::Error::from_raw_os_error(Errno::NOEXEC.raw_os_error()));
        assert_eq!((exec.step, exec.cause.raw_os_error()), (None, Some(8)));
        let other = NotStarted::decode(io::ErrorKind::InvalidInput.into());
        assert_eq!(
            (other.step, other.cause.kind()),
            (None, io::ErrorKind::InvalidInput)
        );
    }

    #[test]
    fn only_what_is_ignored_has_to_be_set_back() {
        // The standard library ignores it from the start.
        assert!(is_ignored(libc::SIGPIPE));
        for signal in [libc::SIGTERM, libc::SIGSEGV, libc::SIGKILL, 32, 0, 65] {
            assert!(!is_ignored(signal), "{signal}");
        }
    }
}
