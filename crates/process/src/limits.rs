//! How much of the host a started process may take (`setrlimit(2)`).

use std::io;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Smaller than the smallest core there is, so none is written; and the one value by which the kernel hands none to a
/// program either (`core(5)`: 0 is for files alone). A VMM's core is its guest's memory.
const NO_CORE: u64 = 1;

/// The limit of open files before [`raise_open_files`].
static OPEN_FILES_BEFORE: OnceLock<Rlimit> = OnceLock::new();

/// Raises this process's soft limit of open files to the hard one. Programs that [`crate::Launch`] and
/// [`crate::Command`] start keep the former limit: they may rely on it, for `select(2)`.
///
/// # Errors
/// The system's reason; the limit is what it was then.
pub fn raise_open_files() -> io::Result<()> {
    let now = getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: now.maximum,
        ..now
    };
    setrlimit(Resource::Nofile, all)?;
    OPEN_FILES_BEFORE.get_or_init(|| now);
    Ok(())
}

/// Limits of a started process and of each process that comes of it. What is `None` stays as this process has it. Core
/// dumps are off in any case, also without a [`crate::Launch::limit`].
///
/// A limit that this process is under itself is never raised. All are set after the process has been confined, as the
/// last step but the filter of system calls, and cannot be raised again: root's programs give that right up with all
/// others when they are confined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of address space: everything mapped, used or not.
    pub address_space: Option<u64>,
    /// Bytes of private writable memory: what `address_space` counts without files, code and shared memory.
    pub data: Option<u64>,
    /// Length to which any file may grow, in bytes. A process that writes beyond is sent `SIGXFSZ`.
    pub file_size: Option<u64>,
    /// Open descriptors. What is passed on stays open whatever its number is.
    pub open_files: Option<u64>,
    /// Processes and threads.
    ///
    /// **Per user, not per process**, in the process's user namespace and those above it. So it is one for this process
    /// where it gets a user namespace or a user of its own, which is asked of the caller. Before Linux 5.14 it is counted
    /// over the user's processes in all namespaces together, so it is left out there.
    pub processes: Option<u64>,
    /// Time on a processor, all threads together, in whole seconds. `SIGXCPU` is sent then, and `SIGKILL` a second
    /// later.
    pub cpu: Option<Duration>,
}

/// Limits made ready for the child.
pub(crate) type Plan = Vec<(Resource, Rlimit)>;

impl Limits {
    pub(crate) fn plan(&self) -> Plan {
        self.plan_after(OPEN_FILES_BEFORE.get())
    }

    /// `before` is the limit of open files before it was raised.
    fn plan_after(&self, before: Option<&Rlimit>) -> Plan {
        let processes = self.processes.filter(|_| counts_processes_apart());
        let plain = [
            (Resource::Core, Some(NO_CORE)),
            (Resource::As, self.address_space),
            (Resource::Data, self.data),
            (Resource::Fsize, self.file_size),
            (Resource::Nofile, self.open_files),
            (Resource::Nproc, processes),
        ];
        let plain = plain
            .into_iter()
            .filter_map(|(resource, limit)| Some((resource, limit?, limit?)));
        let cpu = self.cpu.map(|time| {
            let seconds = time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0));
            (Resource::Cpu, seconds, seconds.saturating_add(1))
        });
        let kept = before.filter(|_| self.open_files.is_none());
        let kept = kept.map(|before| (Resource::Nofile, *before));
        let limited = plain.chain(cpu).map(|(resource, soft, hard)| {
            let now = match (resource, before) {
                (Resource::Nofile, Some(before)) => *before,
                _ => getrlimit(resource),
            };
            (resource, lower(now, soft, hard))
        });
        limited.chain(kept).collect()
    }
}

/// The limit, where what there is is not lower.
fn lower(now: Rlimit, soft: u64, hard: u64) -> Rlimit {
    let within = |limit: u64, now: Option<u64>| now.map_or(limit, |now| now.min(limit));
    let hard = within(hard, now.maximum);
    Rlimit {
        current: Some(within(soft, now.current).min(hard)),
        maximum: Some(hard),
    }
}

/// Whether this kernel counts the processes of a user in each user namespace apart, as [`Limits::processes`] needs it.
fn counts_processes_apart() -> bool {
    let system = rustix::system::uname();
    release(&system.release().to_string_lossy()).is_some_and(|release| release >= (5, 14))
}

/// The first two numbers of a kernel's release.
fn release(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text
        .split(|character: char| !character.is_ascii_digit())
        .map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_limit_is_raised() {
        let now = |current, maximum| Rlimit { current, maximum };
        let table = [
            (now(None, None), (10, 11), (10, 11)),
            (now(Some(5), None), (10, 10), (5, 10)),
            (now(Some(5), Some(7)), (10, 10), (5, 7)),
            (now(None, Some(7)), (10, 10), (7, 7)),
            (now(Some(50), Some(70)), (10, 11), (10, 11)),
        ];
        for (now, (soft, hard), (current, maximum)) in table {
            let set = lower(now, soft, hard);
            assert_eq!(
                (set.current, set.maximum),
                (Some(current), Some(maximum)),
                "{now:?}"
            );
        }
    }

    #[test]
    fn a_kernels_release_is_read_whatever_follows_the_numbers() {
        for (text, expected) in [
            ("5.10.0-28-amd64", Some((5, 10))),
            ("6.18.44-fc-v657", Some((6, 18))),
            ("7.0", Some((7, 0))),
            ("5", None),
            ("", None),
            ("five.fourteen", None),
        ] {
            assert_eq!(release(text), expected, "{text}");
        }
    }

    #[test]
    fn a_started_program_has_the_limit_of_open_files_from_before_it_was_raised() {
        let before = Rlimit {
            current: Some(1024),
            maximum: Some(4096),
        };
        for (open_files, expected) in [
            (None, (Some(1024), Some(4096))),
            (Some(10), (Some(10), Some(10))),
            (Some(2_000), (Some(1024), Some(2_000))),
            (Some(8_000), (Some(1024), Some(4096))),
        ] {
            let limits = Limits {
                open_files,
                ..Limits::default()
            };
            let plan = limits.plan_after(Some(&before));
            let set: Vec<Rlimit> = plan
                .into_iter()
                .filter_map(|(resource, limit)| (resource == Resource::Nofile).then_some(limit))
                .collect();
            assert_eq!(set.len(), 1);
            assert_eq!((set[0].current, set[0].maximum), expected, "{open_files:?}");
        }
    }

    #[test]
    fn core_dumps_are_off_whatever_else_is_limited() {
        let plan = Limits::default().plan();
        assert_eq!(plan.len(), 1);
        assert_eq!(plan[0].0, Resource::Core);
        assert!(plan[0].1.maximum.is_some_and(|limit| limit <= NO_CORE));
    }

    #[test]
    fn time_is_rounded_up_to_seconds_and_more_than_any_limit_does_not_overflow() {
        let limits = Limits {
            cpu: Some(Duration::from_millis(1_500)),
            ..Limits::default()
        };
        let plan = limits.plan();
        assert_eq!(plan[1].0, Resource::Cpu);
        assert_eq!(plan[1].1.current, Some(2));
        let endless = Limits {
            cpu: Some(Duration::from_secs(u64::MAX)),
            ..Limits::default()
        };
        assert_eq!(endless.plan().len(), 2);
    }
}
